//! The cache of a sequence in each layer, as kernel operands: pages of keys and values, or slots of recurrent state.

use crate::{
    compute::{
        dtype::DType,
        kernel::{Group, Kernel},
        tensor::Tensor,
    },
    kernels::operands::heads::{AttentionHeads, DeltaHeads},
};

/// Keys and values of one attention layer, in pages of tokens.
pub struct KvPages {
    /// \[pages · page_size · Hkv, D\], after norm and rope; f32, f16 or 8-bit heads.
    pub keys: Tensor,
    /// \[pages · page_size · Hkv, D\], of the same type as `keys`.
    pub values: Tensor,
    /// Tokens per page.
    pub page_size: u32,
    /// The layer's heads.
    pub heads: AttentionHeads,
}

impl KvPages {
    /// Asserts heads that the attention shaders can split over their lanes, that each row is one head, and that keys and
    /// values have the same shape and type.
    pub(crate) fn check(&self, kernel: &Kernel) {
        self.heads.check(kernel);
        let of = |tensor: &Tensor| (tensor.rows(), tensor.width(), tensor.dtype());
        assert_eq!(of(&self.keys), of(&self.values), "{}: keys and values", kernel.name);
        assert_eq!(self.keys.width(), self.heads.width, "{}: each row of keys must be one head", kernel.name);
    }

    /// 1 if each head has a scale, else 0.
    pub(crate) fn scaled(&self) -> u32 {
        u32::from(self.keys.dtype() == DType::Q8Heads)
    }
}

/// Recurrent state of one DeltaNet layer, one slot per sequence. Always f32: the model collapses with less precision.
pub struct Slots {
    /// \[slots, 4·C\]: the last 4 input rows of the convolution, indexed by position mod 4.
    pub conv_state: Tensor,
    /// \[slots, Hv·Dk·Dv\]
    pub state: Tensor,
    /// The layer's heads.
    pub heads: DeltaHeads,
}

/// The cache of one layer.
pub enum State {
    /// Keys and values of an attention layer.
    KvPages(KvPages),
    /// Recurrent state of a DeltaNet layer.
    Slots(Slots),
}

/// The page table of a slot, for kernels with the page tables at binding 1.
pub(crate) struct PageTable<'a> {
    pages: &'a [u32],
    page_size: usize,
}

impl<'a> PageTable<'a> {
    pub(crate) fn of(g: &Group<'a>, slot: u32) -> Self {
        let (slot, max_pages) = (slot as usize, g.define("MAX_PAGES"));
        Self { pages: g.words("tables", slot * max_pages..(slot + 1) * max_pages), page_size: g.define("PAGE") }
    }

    /// The index in the cache of the token at a position.
    pub(crate) fn place(&self, position: usize) -> usize {
        self.pages[position / self.page_size] as usize * self.page_size + position % self.page_size
    }
}

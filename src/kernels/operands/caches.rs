//! The cache of a sequence in each layer, as kernel operands: blocks of keys and values, or slots of recurrent state.

use crate::{
    compute::{
        dtype::DType,
        kernel::{Group, Kernel},
        tensor::Tensor,
    },
    kernels::operands::heads::{AttentionHeads, DeltaHeads},
};

/// Keys and values of one attention layer, in blocks of tokens.
pub struct Blocks {
    /// \[blocks · block · Hkv, D\], after norm and rope; f32, f16 or 8-bit heads.
    pub keys: Tensor,
    /// \[blocks · block · Hkv, D\], of the same type as `keys`.
    pub values: Tensor,
    /// Tokens per block.
    pub block: u32,
    /// The layer's heads.
    pub heads: AttentionHeads,
}

impl Blocks {
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
    pub ring: Tensor,
    /// \[slots, Hv·Dk·Dv\]
    pub state: Tensor,
    /// The layer's heads.
    pub heads: DeltaHeads,
}

/// The cache of one layer.
pub enum State {
    /// Keys and values of an attention layer.
    Blocks(Blocks),
    /// Recurrent state of a DeltaNet layer.
    Slots(Slots),
}

/// The block table of a slot, for kernels with the block tables at binding 1.
pub(crate) struct Pages<'a> {
    blocks: &'a [u32],
    block: usize,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(g: &Group<'a>, slot: u32) -> Self {
        let (slot, most) = (slot as usize, g.define("MAX_BLOCKS"));
        Self { blocks: g.words("tables", slot * most..(slot + 1) * most), block: g.define("BLOCK") }
    }

    /// The index in the cache of the token at a position.
    pub(crate) fn place(&self, position: usize) -> usize {
        self.blocks[position / self.block] as usize * self.block + position % self.block
    }
}

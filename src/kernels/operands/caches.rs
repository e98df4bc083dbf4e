//! What a sequence leaves behind in each layer, as kernels are given it: blocks of keys and values, or slots of recurrent state.

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
    /// \[blocks · block · Hkv, D\], after norm and rope; f32, f16 or heads of 8 bits.
    pub keys: Tensor,
    /// \[blocks · block · Hkv, D\], of the same type.
    pub values: Tensor,
    /// Tokens of one block.
    pub block: u32,
}

impl Blocks {
    /// Asserts that each row is a head, and that keys and values are of one type.
    pub(crate) fn check(&self, kernel: &Kernel, heads: AttentionHeads) {
        let of = |tensor: &Tensor| (tensor.rows(), tensor.width(), tensor.dtype());
        assert_eq!(of(&self.keys), of(&self.values), "{}: keys and values", kernel.name);
        assert_eq!(self.keys.width(), heads.width, "{}: a head in each row of keys", kernel.name);
    }

    /// 1 where each head has a scale, else 0.
    pub(crate) fn scaled(&self) -> u32 {
        u32::from(self.keys.dtype() == DType::Q8Heads)
    }
}

/// Recurrent state of one DeltaNet layer, one slot a sequence. Always f32: less collapses the model.
pub struct Slots {
    /// \[slots, 4·C\]: the last 4 rows before the convolution, by position mod 4.
    pub ring: Tensor,
    /// \[slots, Hv·Dk·Dv\]
    pub state: Tensor,
    /// The layer's heads.
    pub heads: DeltaHeads,
}

/// What one layer keeps.
pub enum State {
    /// Of an attention layer.
    Blocks(Blocks),
    /// Of a DeltaNet layer.
    Slots(Slots),
}

/// Where a slot's tokens are in the cache; for kernels whose binding 1 is the block tables.
pub(crate) struct Pages<'a> {
    blocks: &'a [u32],
    block: usize,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(g: &Group<'a>, slot: u32) -> Self {
        let (slot, most) = (slot as usize, g.define("MAX_BLOCKS"));
        Self { blocks: g.words("tables", slot * most..(slot + 1) * most), block: g.define("BLOCK") }
    }

    /// The row of the cache that holds a position.
    pub(crate) fn place(&self, position: usize) -> usize {
        self.blocks[position / self.block] as usize * self.block + position % self.block
    }
}

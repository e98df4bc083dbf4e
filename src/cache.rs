//! What a sequence leaves behind in each layer: blocks of keys and values, or a slot of recurrent state.

use crate::{kernels::gdn_conv::Heads, tensor::Tensor};

/// Keys and values of one attention layer, in blocks of tokens.
pub struct Blocks {
    /// \[blocks · block, Hkv·D\], after norm and rope.
    pub keys: Tensor,
    /// \[blocks · block, Hkv·D\]
    pub values: Tensor,
    /// Tokens of one block.
    pub block: u32,
}

/// Recurrent state of one DeltaNet layer, one slot a sequence. Always f32: less collapses the model.
pub struct Slots {
    /// \[slots, 4·C\]: the last 4 rows before the convolution, by position mod 4.
    pub ring: Tensor,
    /// \[slots, Hv·Dk·Dv\]
    pub state: Tensor,
    /// The layer's heads.
    pub heads: Heads,
}

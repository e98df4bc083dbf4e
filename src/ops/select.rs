//! Choosing tokens on the device.

use crate::{
    compute::tensor::Tensor,
    kernels::{argmax, argmax_merge::argmax_merge, operands::recorder::Recorder},
};

/// Greedy choice among the ids below `limit`. logits \[S, V\] f32 → tokens \[S, 1\] u32.
pub fn argmax(r: Recorder<'_>, logits: &Tensor, limit: u32, tokens: &mut Tensor) {
    assert_eq!([logits.rows(), 1], [tokens.rows(), tokens.width()], "argmax: tokens");
    argmax_merge(r, &argmax::argmax(r, logits, limit), tokens);
}

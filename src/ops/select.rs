//! Choosing tokens on the device.

use crate::{
    compute::{pass::Pass, tensor::Tensor},
    kernels::{argmax, argmax_merge::argmax_merge, operands::step::Step},
};

/// Greedy choice among the ids below `limit`. logits \[S, V\] f32 → tokens \[S, 1\] u32.
pub fn argmax(p: &Pass, step: &Step, logits: &Tensor, limit: u32, tokens: &mut Tensor) {
    assert_eq!([logits.rows(), 1], [tokens.rows(), tokens.width()], "argmax: tokens");
    argmax_merge(p, step, &argmax::argmax(p, step, logits, limit), tokens);
}

//! Attention of many rows: chooses the kernel for the device.

use crate::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{
        attend_mma::{AttentionTiling, attend_mma},
        attend_prefill::{self, Attend},
        operands::{caches::KvPages, heads::AttentionHeads, step::Step},
    },
};

/// Gated causal attention of many rows, on matrix units if they suit. q \[T, Hq·D\] f32, x \[T, projected\] f32 (gates)
/// → \[T, Hq·D\] of `dtype`.
pub fn attend_prefill(
    p: &Pass,
    step: &Step,
    (q, x): (&Tensor, &Tensor),
    cache: &KvPages,
    (heads, dtype): (AttentionHeads, DType),
) -> Tensor {
    assert_eq!([q.width(), x.width()], [heads.query * heads.width, heads.projected()], "attend_prefill: q, x");
    heads.check(&attend_prefill::KERNEL);
    cache.check(&attend_prefill::KERNEL, heads);
    let attend = Attend { q, x, cache, heads, dtype };
    match AttentionTiling::fit(p.caps(), cache, (heads, dtype)) {
        Some(tiling) => attend_mma(p, step, attend, tiling),
        None => attend_prefill::attend_prefill(p, step, attend),
    }
}

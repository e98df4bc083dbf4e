//! Gated attention between its two projections: chooses the kernels for the phase and the device.

use crate::{
    compute::tensor::Tensor,
    kernels::{
        attend_decode::attend_decode,
        attend_merge::attend_merge,
        attend_mma::{AttentionTiling, attend_mma},
        attend_prefill,
        operands::{caches::KvPages, recorder::Recorder, step::Phase},
    },
    ops::matmul::For,
};

/// Gated causal attention over the cache, for the product with `out`. q \[T, Hq·D\] f32, x \[T, projected\] f32 (gates)
/// → \[T, Hq·D\].
pub fn attend(r: Recorder<'_>, q: &Tensor, x: &Tensor, cache: &KvPages, out: For<'_>) -> Tensor {
    match r.step.phase() {
        Phase::Prefill => attend_prefill(r, q, x, cache),
        Phase::Decode => attend_merge(out.recorder(r, cache.heads.width), &attend_decode(r, q, cache), x),
    }
}

/// Gated causal attention of many rows, on matrix units if they suit. q \[T, Hq·D\] f32, x \[T, projected\] f32 (gates)
/// → \[T, Hq·D\].
pub fn attend_prefill(r: Recorder<'_>, q: &Tensor, x: &Tensor, cache: &KvPages) -> Tensor {
    let heads = cache.heads;
    assert_eq!([q.width(), x.width()], [heads.query * heads.width, heads.projected()], "attend_prefill: q, x");
    cache.check(&attend_prefill::KERNEL);
    match AttentionTiling::fit(r.caps(), cache, r.activations) {
        Some(tiling) => attend_mma(r, q, x, cache, tiling),
        None => attend_prefill::attend_prefill(r, q, x, cache),
    }
}

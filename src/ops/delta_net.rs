//! The gated delta rule between its two projections: chooses the kernels for the phase and the device.

use crate::{
    compute::tensor::Tensor,
    kernels::{
        gated_rms_norm::gated_rms_norm,
        gdn_chunk_solve::{ChunkTiling, gdn_chunk_solve},
        gdn_chunk_state::gdn_chunk_state,
        gdn_conv::{Mixed, gdn_conv},
        gdn_decode::{Recurrence, gdn_decode},
        gdn_scan::gdn_scan,
        operands::{caches::Slots, recorder::Recorder, step::Phase},
    },
    ops::matmul::For,
};

/// Convolution, gates, recurrence and gated norm, for the product with `out`. x \[T, projected\] f32 → \[T, Hv·Dv\].
pub fn gated_delta_rule(r: Recorder<'_>, x: &Tensor, w: &Recurrence, slots: &mut Slots, out: For<'_>) -> Tensor {
    match r.step.phase() {
        Phase::Prefill => {
            let mixed = gdn_conv(r, x, &w.conv, &w.a_dt, slots);
            let o = gdn_prefill(r, &mixed, slots);
            gated_rms_norm(r, &o, x, &w.norm, slots.heads)
        }
        Phase::Decode => gdn_decode(out.recorder(r, slots.heads.value_width), x, w, slots),
    }
}

/// The result of `gdn_scan` for prefill rows, in chunks if matrix units suit. → \[T, Hv·Dv\] f32.
pub fn gdn_prefill(r: Recorder<'_>, mixed: &Mixed, slots: &mut Slots) -> Tensor {
    match ChunkTiling::fit(r.caps(), slots.heads, r.activations) {
        None => gdn_scan(r, mixed, slots),
        Some(tiling) => {
            let solved = gdn_chunk_solve(r, mixed, slots.heads, tiling);
            gdn_chunk_state(r, &solved, slots, tiling, mixed.qkv.rows())
        }
    }
}

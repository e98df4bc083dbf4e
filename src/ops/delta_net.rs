//! The gated delta rule of many rows: chooses the kernels for the device.

use crate::{
    compute::{dtype::DType, pass::Pass, tensor::Tensor},
    kernels::{
        gdn_chunk_solve::{ChunkTiling, gdn_chunk_solve},
        gdn_chunk_state::gdn_chunk_state,
        gdn_conv::Mixed,
        gdn_scan::gdn_scan,
        operands::{caches::Slots, step::Step},
    },
};

/// The result of `gdn_scan` for prefill rows, in chunks if matrix units suit. → \[T, Hv·Dv\] f32. `inputs` is the
/// activation type of the model's products.
pub fn gdn_prefill(p: &Pass, step: &Step, mixed: &Mixed, slots: &mut Slots, inputs: DType) -> Tensor {
    match ChunkTiling::fit(p.caps(), slots.heads, inputs) {
        None => gdn_scan(p, step, mixed, slots),
        Some(tiling) => {
            let solved = gdn_chunk_solve(p, step, mixed, slots.heads, tiling);
            gdn_chunk_state(p, step, &solved, (slots, tiling), mixed.qkv.rows())
        }
    }
}

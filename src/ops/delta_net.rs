//! The gated delta rule of many rows: which kernels compute it on this device.

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

/// What `gdn_scan` computes for the rows of prompts, in chunks where matrix units suit. → \[T, Hv·Dv\] f32. `inputs` is
/// what products of the model take.
pub fn gdn_prefill(p: &Pass, step: &Step, mixed: &Mixed, slots: &mut Slots, inputs: DType) -> Tensor {
    match ChunkTiling::fit(p.caps(), slots.heads, inputs) {
        None => gdn_scan(p, step, mixed, slots),
        Some(tiling) => {
            let solved = gdn_chunk_solve(p, step, mixed, slots.heads, tiling);
            gdn_chunk_state(p, step, &solved, (slots, tiling), mixed.qkv.rows())
        }
    }
}

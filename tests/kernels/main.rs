//! Every kernel on every backend against its plain loop, and its shader texts against its table.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;
mod kv_case;
#[cfg(all(unix, feature = "emulator"))]
mod mutations;
mod selection;
#[cfg(all(unix, feature = "emulator"))]
mod shader_override;
mod step_cases;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "wgpu")]
mod twins;
#[cfg(all(unix, feature = "emulator", feature = "wgpu"))]
mod wgsl_on_emulator;

mod cases {
    pub mod argmax;
    pub mod argmax_merge;
    pub mod attend_decode;
    pub mod attend_merge;
    pub mod attend_mma;
    pub mod attend_prefill;
    pub mod copy_slot;
    pub mod dequantize;
    pub mod embed;
    pub mod feed_tokens;
    pub mod gated_rms_norm;
    pub mod gather_rows;
    pub mod gdn_chunk_solve;
    pub mod gdn_chunk_state;
    pub mod gdn_conv;
    pub mod gdn_decode;
    pub mod gdn_scan;
    pub mod matmul;
    pub mod matmul_mma;
    pub mod matvec;
    pub mod norm_matvec;
    pub mod norm_swiglu;
    pub mod qk_norm_rope;
    pub mod rms_norm;
    pub mod silu_mul;
    pub mod top_k;
}

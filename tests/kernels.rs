//! Every kernel, on every backend present, against its plain loop.
#![allow(missing_docs, clippy::unwrap_used)]

mod present;

mod kernels {
    mod harness;
    #[cfg(all(unix, feature = "emulator"))]
    mod rewritten;
    #[cfg(all(unix, feature = "emulator"))]
    mod sabotage;
    mod traffic;
    #[cfg(all(unix, feature = "emulator", feature = "wgpu"))]
    mod translated;

    mod advance;
    mod argmax;
    mod attend_decode;
    mod attend_merge;
    mod attend_mma;
    mod attend_prefill;
    mod copy_slot;
    mod dequantise;
    mod embed;
    mod gated_rms_norm;
    mod gdn_chunk_state;
    mod gdn_conv;
    mod gdn_decode;
    mod gdn_scan;
    mod matmul;
    mod matmul_mma;
    mod matvec;
    mod norm_matvec;
    mod norm_swiglu;
    mod qk_norm_rope;
    mod rms_norm;
    mod rows;
    mod silu_mul;
    mod top_k;
}

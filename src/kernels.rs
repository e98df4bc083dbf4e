//! The list of all kernels. A kernel is four files of one name: Rust (here), WGSL, MSL and test cases.
//!
//! # Panics
//! Operations panic if tensor shapes do not match; the message names the kernel and the argument.
#![allow(clippy::missing_panics_doc)]

use crate::compute::kernel;

/// The shader sources of a kernel, by name. Compiled without bounds checks: indices into private and workgroup memory
/// are loop counters with constant bounds, or lane ids below LANES. Sentinels behind buffers let the tests catch
/// overruns.
macro_rules! source {
    ($name:literal) => {
        $crate::compute::kernel::Source {
            wgsl: include_str!(concat!("../../wgsl/", $name, ".wgsl")),
            msl: Some(include_str!(concat!("../../msl/", $name, ".metal"))),
            proven: true,
        }
    };
}

macro_rules! kernels {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*
        /// Every kernel, for the shader tests and the parity tests.
        pub static ALL: &[&crate::compute::kernel::Kernel] = &[$(&$name::KERNEL),*];
    };
}

pub mod operands;

kernels!(
    argmax,
    argmax_merge,
    attend_decode,
    attend_merge,
    attend_mma,
    attend_prefill,
    copy_slot,
    dequantize,
    embed,
    feed_tokens,
    gated_rms_norm,
    gather_rows,
    gdn_chunk_solve,
    gdn_chunk_state,
    gdn_conv,
    gdn_decode,
    gdn_scan,
    matmul,
    matmul_mma,
    matvec,
    norm_matvec,
    norm_swiglu,
    qk_norm_rope,
    rms_norm,
    silu_mul,
    top_k,
);

/// Fingerprint of all kernel sources in all languages. It tells apart pipelines that were compiled from different
/// sources.
pub fn fingerprint() -> u64 {
    let texts =
        ALL.iter().flat_map(|kernel| [Some(kernel.source.wgsl), kernel.source.msl].map(|text| (kernel.name, text)));
    kernel::fingerprint(texts.filter_map(|(name, text)| Some((name, text?))))
}

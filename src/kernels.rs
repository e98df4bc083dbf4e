//! Every kernel once. A kernel is four files of one name: its Rust side here, its WGSL, its MSL, its cases.
//!
//! # Panics
//! Operations panic on tensors whose shapes do not fit together, naming kernel and argument.
#![allow(clippy::missing_panics_doc)]

use crate::compute::kernel;

/// The shader texts of a kernel, by its name. They run without checks of indices: what indexes private and group memory is
/// a loop counter with constant bounds or a lane below LANES, and the tests find what leaves a buffer by what lies behind
/// it.
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
        /// Every kernel: what the tests of shaders and of parity walk.
        pub static ALL: &[&crate::compute::kernel::Kernel] = &[$(&$name::KERNEL),*];
    };
}

pub mod operands;

kernels!(
    advance,
    argmax,
    argmax_merge,
    attend_decode,
    attend_merge,
    attend_mma,
    attend_prefill,
    copy_slot,
    dequantize,
    embed,
    gated_rms_norm,
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
    rows,
    silu_mul,
    top_k,
);

/// A number for the texts of all kernels in all languages, by which pipelines made of them are told from those of other texts.
pub fn fingerprint() -> u64 {
    let texts =
        ALL.iter().flat_map(|kernel| [Some(kernel.source.wgsl), kernel.source.msl].map(|text| (kernel.name, text)));
    kernel::fingerprint(texts.filter_map(|(name, text)| Some((name, text?))))
}

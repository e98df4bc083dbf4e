//! The layers below the names at the crate's root, for authors of kernels, operations, backends and tools. The layers
//! change more often than the root.

/// Devices, memory, element types, recordings, and the backends that run recordings. Knows no model.
pub mod compute {
    pub use crate::compute::*;
}

/// The Rust side of every kernel, with its shader texts included.
pub mod kernels {
    pub use crate::kernels::*;
}

/// Operations: the choice of kernels for a device.
pub mod ops {
    pub use crate::ops::*;
}

/// Configuration and checkpoint on disk, weights on a device, forward pass.
pub mod model {
    pub use crate::model::*;
}

/// Sequences of token ids, many at once: scheduler, caches, sampling.
pub mod engine {
    pub use crate::engine::*;
}

/// Tokenizers, chat templates, and stop strings. Knows no model.
#[cfg(feature = "text")]
pub mod text {
    pub use crate::text::*;
}

/// Models on a Hugging Face hub, and their cache on this machine.
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub mod hub {
    pub use crate::hub::*;
}

/// Text in, text out: generators, streams and conversations.
#[cfg(feature = "text")]
pub mod generate {
    pub use crate::generate::*;
}

//! The layers below the names at the crate's root, for whoever writes a kernel, an operation, a backend or a tool. They change
//! more often than the root does.

/// Devices, memory, element types, recordings, and the backends that run them. Knows no model.
pub mod compute {
    pub use crate::compute::*;
}

/// Every kernel once: its Rust side, with its shaders in it.
pub mod kernels {
    pub use crate::kernels::*;
}

/// Operations: which kernels make one on this device.
pub mod ops {
    pub use crate::ops::*;
}

/// The configuration and the checkpoint on disk, the weights on a device, the forward pass.
pub mod model {
    pub use crate::model::*;
}

/// Sequences of token ids, many at once: scheduler, caches, sampling.
pub mod engine {
    pub use crate::engine::*;
}

/// Tokenizers, chat templates, and where a text ends. Knows no model.
#[cfg(feature = "text")]
pub mod text {
    pub use crate::text::*;
}

/// Models on a Hugging Face hub, and the cache of them on this machine.
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
pub mod hub {
    pub use crate::hub::*;
}

/// Text in, text out: what a generator is made of.
#[cfg(feature = "text")]
pub mod generate {
    pub use crate::generate::*;
}

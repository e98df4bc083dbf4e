//! bimetal runs the Qwen3.5 language models on the user's own GPU.

pub mod compute;
pub mod engine;
pub mod error;
pub mod generate;
#[cfg(not(target_arch = "wasm32"))]
pub mod hub;
pub mod kernels;
pub mod measure;
pub mod model;
pub mod ops;
pub mod text;

pub use error::{Error, Result};

//! bimetal runs the Qwen3.5 language models on the user's own GPU.

pub mod backend;
pub mod cache;
pub mod cpu;
pub mod dtype;
pub mod error;
pub mod kernels;
pub mod matrix;
pub mod model;
pub mod pass;
pub mod scheduler;
pub mod step;
pub mod tensor;

pub use error::{Error, Result};

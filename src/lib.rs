//! bimetal runs the Qwen3.5 language models on the user's own GPU.

pub mod chat;
pub mod error;
pub mod model;
pub mod sampler;
pub mod stop;
pub mod tokenizer;

pub use error::{Error, Result};

//! bimetal runs the Qwen3.5 language models on the user's own GPU.

pub mod backend;
pub mod cache;
pub mod chat;
pub mod chips;
pub mod compare;
pub mod conversation;
pub mod cost;
pub mod cpu;
pub mod default_model;
pub mod dtype;
pub mod engine;
pub mod error;
pub mod evaluation;
pub mod generator;
#[cfg(not(target_arch = "wasm32"))]
pub mod hub;
pub mod kernels;
pub mod ledger;
pub mod matrix;
pub mod metal;
pub mod model;
pub mod open;
mod pace;
pub mod paper;
pub mod pass;
pub mod quant;
pub mod sampler;
pub mod scheduler;
pub mod step;
pub mod stop;
pub mod tensor;
pub mod text;
mod threads;
pub mod tokenizer;
#[cfg(feature = "wgpu")]
pub mod wgpu;

pub use error::{Error, Result};

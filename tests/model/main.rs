//! The model: checkpoints, weights on a device, caches, and the forward pass against the reference implementation,
//! tensor by tensor, on every backend of this machine.
//!
//! `FIXTURES=DIR:DIR cargo test --test model` checks more directories (config, weights, reference*.safetensors).
#![allow(missing_docs, clippy::unwrap_used)]

mod cache;
mod checkpoint;
mod chunks;
mod container;
mod gguf;
mod golden;
mod harness;
#[cfg(target_os = "linux")]
mod host_memory;
mod kv_q8;
mod loading;
mod quantized;
#[cfg(feature = "wgpu")]
mod split;
mod stories;
#[path = "../support/mod.rs"]
mod support;

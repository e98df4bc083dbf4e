//! The model against the reference implementation, tensor by tensor, on every backend present.
//!
//! `FIXTURES=DIR:DIR cargo test --test model` checks further directories (config, weights, reference*.safetensors).

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "model/ahead.rs"]
mod ahead;
#[path = "checkpoint/container.rs"]
#[allow(dead_code)]
mod container;
#[path = "model/gguf.rs"]
mod gguf;
#[path = "model/golden.rs"]
mod golden;
#[path = "model/kept.rs"]
mod kept;
#[path = "model/loading.rs"]
mod loading;
#[path = "model/outputs.rs"]
mod outputs;
#[path = "model/parity.rs"]
mod parity;
mod present;
#[path = "model/quantised.rs"]
mod quantised;
#[path = "model/rig.rs"]
mod rig;
#[cfg(feature = "wgpu")]
#[path = "model/split.rs"]
mod split;
#[path = "model/stories.rs"]
mod stories;
#[path = "model/waiting.rs"]
mod waiting;

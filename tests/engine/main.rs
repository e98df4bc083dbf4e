//! The engine: which sequences share a step, which token follows, and that results depend on the sequence alone.
#![allow(missing_docs, clippy::unwrap_used)]

mod ahead;
mod parity;
mod sampler;
mod scheduler;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

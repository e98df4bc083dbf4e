//! The engine: the sequences of a step, the next token, and results that depend only on the sequence.
#![allow(missing_docs, clippy::unwrap_used)]

mod ahead;
mod parity;
mod sampler;
mod scheduler;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

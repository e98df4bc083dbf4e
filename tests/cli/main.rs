//! The real binary: its output, and its errors for wrong input.
#![allow(missing_docs, clippy::unwrap_used)]

mod backends;
mod bench;
mod chat;
mod checkpoints;
mod dispatches;
mod downloads;
mod evaluation;
mod flags;
mod generate;
mod gguf;
mod growth;
mod hub;
mod info;
mod quantize;
mod run;
mod server;
mod streams;
#[path = "../support/mod.rs"]
mod support;

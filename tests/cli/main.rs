//! The real binary: its output, and its errors for wrong input.
#![allow(missing_docs, clippy::unwrap_used)]

mod backends;
mod bench;
#[cfg(unix)]
mod cached;
mod chat;
mod checkpoints;
mod dispatches;
mod downloads;
mod evaluation;
mod flags;
mod generate;
mod gguf;
mod growth;
mod habits;
mod hub;
mod info;
mod quantize;
mod refusals;
mod run;
mod server;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod talk;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod typing;
mod variables;

//! The real binary: what it prints, and what it says when something is wrong with what it was given.
#![allow(missing_docs, clippy::unwrap_used)]

mod backends;
mod bench;
mod chat;
mod checkpoints;
mod downloads;
mod evaluation;
mod flags;
mod generate;
mod gguf;
mod growth;
mod hub;
mod info;
mod launches;
mod quantize;
mod run;
mod server;
mod streams;
#[path = "../support/mod.rs"]
mod support;

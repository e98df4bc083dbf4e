//! The real binary: what it prints, and what it says when something is wrong with what it was given.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/backends.rs"]
mod backends;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/chat.rs"]
mod chat;
#[path = "cli/checkpoints.rs"]
mod checkpoints;
#[path = "cli/evaluation.rs"]
mod evaluation;
#[path = "cli/flags.rs"]
mod flags;
#[path = "cli/generate.rs"]
mod generate;
#[path = "cli/gguf.rs"]
mod gguf;
#[path = "cli/growth.rs"]
mod growth;
#[path = "cli/hub.rs"]
mod hub;
#[path = "cli/launches.rs"]
mod launches;
#[path = "cli/quantize.rs"]
mod quantize;
#[path = "cli/run.rs"]
mod run;
#[allow(dead_code)]
#[path = "checkpoint/scratch.rs"]
mod scratch;
#[allow(dead_code)]
#[path = "hub/server.rs"]
mod server;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/tells.rs"]
mod tells;

//! Text in, text out: tokens, chat templates, streams, conversations, and the examples of the documentation.
#![allow(missing_docs, clippy::unwrap_used)]

mod chat;
mod conversation;
mod examples;
mod generator;
mod metadata;
#[path = "../support/mod.rs"]
mod support;
mod templates;
mod tokenizer;

//! Measurements: the table of costs, perplexity, and backends compared dispatch by dispatch.
#![allow(missing_docs, clippy::unwrap_used)]

mod compare;
mod cost_table;
mod evaluation;
#[path = "../support/mod.rs"]
mod support;

//! Measurements: the ledger of costs, perplexity, and backends compared dispatch by dispatch.
#![allow(missing_docs, clippy::unwrap_used)]

mod compare;
mod evaluation;
mod ledger;
#[path = "../support/mod.rs"]
mod support;

//! What measures: the ledger of costs, perplexity, and backends compared launch by launch.
#![allow(missing_docs, clippy::unwrap_used)]

mod compare;
mod evaluation;
mod ledger;
#[path = "../support/mod.rs"]
mod support;

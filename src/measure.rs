//! What a model makes of a text, what a step costs, and where two backends differ.

pub mod backend_diff;
pub mod chips;
pub mod cost_table;
pub mod perplexity;

//! Text in, text out: an engine with a checkpoint's tokenizer and template.

pub mod assets;
pub mod conversation;
pub mod generator;

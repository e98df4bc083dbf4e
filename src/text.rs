//! Text and ids: tokenizers, chat templates, and where a text ends. Knows no model.

pub mod chat_template;
pub mod metadata;
pub mod stop;
pub mod tokenizer;

//! Text in, text out: a generator serves many texts, a stream is one of them, a conversation is one that goes on.

mod assets;
mod conversation;
mod failure;
mod generator;
mod open_text;
mod options;
mod stream;

pub use assets::TextAssets;
pub use conversation::Conversation;
pub use generator::Generator;
pub use open_text::TextEvent;
pub use options::{GenerationOptions, GeneratorOptions, StopAt};
pub use stream::{Stream, Timing};

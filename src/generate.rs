//! Text in, text out: a generator serves many texts, a stream is one of them, a conversation is one that goes on.

mod assets;
#[cfg(feature = "built-in")]
mod built_in;
mod conversation;
mod failure;
mod generator;
#[cfg(any(not(feature = "hub"), target_arch = "wasm32"))]
mod local;
mod open_text;
mod options;
mod score;
mod stream;
mod threads;

#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
use crate::hub;
pub use assets::TextAssets;
pub use conversation::Conversation;
pub use generator::Generator;
#[cfg(any(not(feature = "hub"), target_arch = "wasm32"))]
use local as hub;
pub use open_text::TextEvent;
pub use options::{GenerationOptions, GeneratorOptions, StopAt};
pub use stream::{Stream, Timing};

//! Text in, text out: a generator serves many texts, a stream reads one text, a conversation takes several turns.

mod assets;
#[cfg(all(feature = "built-in", not(target_arch = "wasm32")))]
mod built_in;
mod conversation;
mod embed;
mod end;
mod failure;
mod generator;
#[cfg(not(any(feature = "hub", target_arch = "wasm32")))]
mod local;
#[cfg(not(target_arch = "wasm32"))]
mod open;
mod open_text;
mod options;
mod record;
mod score;
mod stream;
mod threads;

pub use assets::{Advice, TextAssets};
pub use conversation::Conversation;
pub use end::EndReason;
pub use generator::Generator;
pub use open_text::TextEvent;
pub use options::{GenerationOptions, GeneratorOptions, StopAt};
pub use stream::{Stream, Timing};

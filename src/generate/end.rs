//! Why a text ended, in the terms of the one who asked for it.

/// The reason why a text ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// The model sampled this stop id.
    StopId(u32),
    /// The text contained this stop string.
    StopString(String),
    /// It has as many tokens as [`super::GenerationOptions::max_tokens`] allows.
    MaxTokens,
    /// The context is full.
    ContextFull,
}

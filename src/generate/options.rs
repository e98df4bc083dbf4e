//! How a generator is opened, and what is wanted of one text.

use crate::{
    engine::{EngineOptions, sampler::Sampling},
    model::Precision,
};

/// How a generator is opened. The default asks the device for everything that depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GeneratorOptions {
    /// The types that the model computes in.
    pub precision: Precision,
    /// How large the engine is.
    pub engine: EngineOptions,
}

/// What is wanted of one text.
#[derive(Clone, Debug)]
pub struct GenerationOptions {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens to add at most; fewer where the context ends first.
    pub max_tokens: usize,
    /// Strings that end the text. Neither they nor what follows is part of it.
    pub stop: Vec<String>,
    /// Whether the checkpoint's stop ids end the text.
    pub stop_at: StopAt,
}

/// Whether a text may end by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StopAt {
    /// At one of the checkpoint's stop ids.
    #[default]
    StopId,
    /// Only at its number of tokens.
    Length,
}

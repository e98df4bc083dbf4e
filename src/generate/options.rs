//! The options of a generator, and of one text.

use crate::{
    engine::{EngineOptions, sampler::Sampling},
    model::Precision,
};

/// The options of a generator. The defaults depend on the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GeneratorOptions {
    /// The data types that the model computes in.
    pub precision: Precision,
    /// The size limits of the engine.
    pub engine: EngineOptions,
}

/// The options of one text.
#[derive(Clone, Debug)]
pub struct GenerationOptions {
    /// How tokens are sampled. [`Sampling::greedy`] takes the likeliest token; a temperature of 0 alone keeps the
    /// penalties that a model card asks for.
    pub sampling: Sampling,
    /// Maximum number of tokens to generate; the end of the context may come first.
    pub max_tokens: usize,
    /// Strings that end the text. The text excludes them and everything after them.
    pub stop: Vec<String>,
    /// Whether the checkpoint's stop ids end the text.
    pub stop_at: StopAt,
}

/// Where a text may end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StopAt {
    /// At one of the checkpoint's stop ids.
    #[default]
    StopId,
    /// Only after `max_tokens` tokens.
    Length,
}

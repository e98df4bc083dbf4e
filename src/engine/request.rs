//! The request for one sequence, and the engine's answers.

use std::collections::BTreeSet;

use crate::{engine::sampler::Sampling, kernels::operands::step::SequenceId};

/// The request for one sequence.
#[derive(Clone, Debug)]
pub struct Request {
    /// The first tokens of the sequence; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// Maximum number of tokens to generate; the end of the context may come first.
    pub max_tokens: usize,
    /// Token ids that end the sequence.
    pub stop: BTreeSet<u32>,
    /// Whether its memory is freed or kept at the end.
    pub at_end: AtEnd,
}

impl Request {
    /// A request to continue a prompt by `max_tokens` tokens, without stop ids. Its memory is freed at the end.
    pub fn new(prompt: Vec<u32>, sampling: Sampling, max_tokens: usize) -> Self {
        Self { prompt, sampling, max_tokens, stop: BTreeSet::new(), at_end: AtEnd::Free }
    }
}

/// Whether the memory of a sequence is freed or kept at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// The memory is freed.
    Free,
    /// The memory is kept for [`crate::engine::Engine::resume`], until other sequences need it.
    Keep,
}

/// One more token of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The sequence of the token.
    pub sequence: SequenceId,
    /// The token.
    pub token: u32,
    /// The finish reason; `Some` only for the last token.
    pub finish: Option<Finish>,
}

/// The reason why a sequence ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// Its last token is a stop id.
    Stop,
    /// It reached `max_tokens` or the end of the context.
    Length,
}

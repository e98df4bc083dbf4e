//! What is asked of an engine for one sequence, and what it answers.

use std::collections::BTreeSet;

use crate::{engine::sampler::Sampling, kernels::operands::step::SequenceId};

/// What is wanted of one sequence.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tokens it starts with; at least one.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens to add at the most; fewer where the context ends first.
    pub max_tokens: usize,
    /// Ids that end it.
    pub stop: BTreeSet<u32>,
    /// What becomes of its memory at the end.
    pub at_end: AtEnd,
}

impl Request {
    /// A prompt to be continued by `max_tokens` tokens, whatever they are. Its memory is given back at the end.
    pub fn new(prompt: Vec<u32>, sampling: Sampling, max_tokens: usize) -> Self {
        Self { prompt, sampling, max_tokens, stop: BTreeSet::new(), at_end: AtEnd::Free }
    }
}

/// What becomes of a sequence's memory when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEnd {
    /// It is given back.
    Free,
    /// It is kept for [`crate::engine::Engine::resume`], until others need it.
    Keep,
}

/// One more token of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Whose.
    pub sequence: SequenceId,
    /// The token.
    pub token: u32,
    /// Whether it is the last one.
    pub finish: Option<Finish>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// With a stop id, which is its last token.
    Stop,
    /// With as many tokens as were asked for, or as the context holds.
    Length,
}

//! The work of one step, and its outcomes.

use super::Snapshot;
use crate::kernels::operands::step::{Phase, SequenceId, Work};

/// The work of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each sequence appears at most once; within a phase, in order of admission.
    pub work: Vec<Work>,
    /// Running sequences that lost pages, slot and snapshots and wait again; the youngest first.
    pub preempted: Vec<SequenceId>,
    /// Kept or waiting sequences that lost pages, slot and snapshots. They keep their tokens and are recomputed when
    /// they run.
    pub dropped: Vec<SequenceId>,
    /// All snapshots freed in this step, including those of preempted and dropped sequences.
    pub forgotten: Vec<(SequenceId, Snapshot)>,
}

impl Batch {
    /// Number of tokens computed in this step.
    pub fn tokens(&self) -> usize {
        self.work.iter().map(|work| work.range.len()).sum()
    }

    /// Whether the step computes no token.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// The work of one phase.
    pub fn of(&self, phase: Phase) -> impl Iterator<Item = &Work> {
        self.work.iter().filter(move |work| work.phase == phase)
    }
}

/// The outcome of a sequence whose logits were requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sampled token is appended, and the sequence continues.
    Token,
    /// The sequence becomes idle and keeps its pages and slot, so that its session can continue.
    Kept {
        /// Whether to append the sampled token: known, but computed only when the session continues.
        token: bool,
    },
    /// The sequence is finished and removed; its pages, slot and snapshots are free.
    Finished,
}

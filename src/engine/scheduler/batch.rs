//! What one step computes and what became of it.

use super::Snapshot;
use crate::kernels::operands::step::{Phase, SequenceId, Work};

/// What one step computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each sequence appears once at most; those of one phase are in the order of their admission.
    pub work: Vec<Work>,
    /// Running sequences that lost blocks, slot and snapshots and wait again; the youngest first.
    pub preempted: Vec<SequenceId>,
    /// Kept or waiting sequences that lost blocks, slot and snapshots. They keep their tokens and are computed anew
    /// when they run.
    pub dropped: Vec<SequenceId>,
    /// Every snapshot that was given up in this step, those of preempted and dropped sequences included.
    pub forgotten: Vec<(SequenceId, Snapshot)>,
}

impl Batch {
    /// Tokens computed in this step.
    pub fn tokens(&self) -> usize {
        self.work.iter().map(|work| work.range.len()).sum()
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// The work of one phase.
    pub fn of(&self, phase: Phase) -> impl Iterator<Item = &Work> {
        self.work.iter().filter(move |work| work.phase == phase)
    }
}

/// What became of a sequence whose logits were wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sampled token joins the sequence, which goes on.
    Token,
    /// The sequence is idle and keeps blocks and slot, for a session that may go on.
    Kept {
        /// Whether the sampled token still joins the sequence: known, but not computed before the session goes on.
        token: bool,
    },
    /// The sequence is over and forgotten; its blocks, slot and snapshots are free.
    Finished,
}

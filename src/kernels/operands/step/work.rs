//! One sequence's part of a step: the same type from the scheduler to the device.

use std::{fmt, ops::Range};

/// Identifies a sequence. A scheduler uses no id twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(u64);

impl SequenceId {
    /// The id with this number, for steps made without a scheduler.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence {}", self.0)
    }
}

/// The phase of tokens, which selects the kernels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Known tokens: many rows of few sequences.
    Prefill,
    /// Sampled tokens: one row per sequence.
    Decode,
}

/// One sequence's part of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The sequence of the tokens.
    pub sequence: SequenceId,
    /// The phase, which selects the kernels.
    pub phase: Phase,
    /// Positions of the tokens; at least one. Work that starts at 0 starts from a zero recurrent state.
    pub range: Range<usize>,
    /// Rows with logits, counted from the first token of `range`.
    pub outputs: Range<usize>,
}

impl Work {
    /// Work without logits.
    pub fn new(sequence: SequenceId, phase: Phase, range: Range<usize>) -> Self {
        let rows = range.len();
        Self { sequence, phase, range, outputs: rows..rows }
    }

    /// The same work, with logits for its last token.
    pub fn with_last_output(self) -> Self {
        let rows = self.range.len();
        Self { outputs: rows - 1..rows, ..self }
    }

    /// The same work, with logits for some rows, counted from the first token of `range`.
    pub fn with_outputs(self, outputs: Range<usize>) -> Self {
        Self { outputs, ..self }
    }
}

/// Work with its inputs for the device.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The work.
    pub work: &'a Work,
    /// Ids of the tokens at `work.range`.
    pub tokens: &'a [u32],
    /// The slot of the sequence: the place of its state, and its row of the page tables.
    pub slot: u32,
}

//! What one step computes and what became of it.

use super::{Snapshot, sequence::SequenceId};

/// A run of given tokens of one sequence, for the prompt kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whose tokens.
    pub sequence: SequenceId,
    /// Position of the first one. A chunk that starts at 0 starts from a zero recurrent state.
    pub start: usize,
    /// How many; at least one.
    pub length: usize,
    /// Whether the logits of the last one are wanted.
    pub sample: bool,
}

/// One sampled token of one sequence, for the decode kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single {
    /// Whose token.
    pub sequence: SequenceId,
    /// Its position.
    pub position: usize,
    /// Whether its logits are wanted.
    pub sample: bool,
}

/// What one step computes. Each sequence appears in at most one chunk or single.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Given tokens, in the order in which their sequences were admitted.
    pub chunks: Vec<Chunk>,
    /// Sampled tokens, in the order in which their sequences were admitted.
    pub singles: Vec<Single>,
    /// Running sequences that lost blocks, slot and snapshots and wait again; the youngest first.
    pub preempted: Vec<SequenceId>,
    /// Parked or waiting sequences that lost blocks, slot and snapshots. They keep their tokens and are computed anew
    /// when they run.
    pub dropped: Vec<SequenceId>,
    /// Every snapshot that was given up in this step, those of preempted and dropped sequences included.
    pub forgotten: Vec<(SequenceId, Snapshot)>,
}

impl Batch {
    /// Tokens computed in this step.
    pub fn tokens(&self) -> usize {
        self.singles.len() + self.chunks.iter().map(|chunk| chunk.length).sum::<usize>()
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.singles.is_empty()
    }

    pub(super) fn push(&mut self, piece: Piece) {
        match piece {
            Piece::Chunk(chunk) => self.chunks.push(chunk),
            Piece::Single(single) => self.singles.push(single),
        }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let singles = self.singles.iter().copied().map(Piece::Single);
        singles.chain(self.chunks.iter().copied().map(Piece::Chunk))
    }
}

/// The part of a batch that belongs to one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Chunk(Chunk),
    Single(Single),
}

impl Piece {
    /// As a chunk, which for a single is one token long.
    pub fn extent(self) -> Chunk {
        match self {
            Piece::Chunk(chunk) => chunk,
            Piece::Single(Single { sequence, position, sample }) => {
                Chunk { sequence, start: position, length: 1, sample }
            }
        }
    }
}

/// What became of a sequence whose logits were wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sampled token joins the sequence, which goes on.
    Token,
    /// The sequence is idle and keeps blocks and slot, for a session that may go on.
    Parked {
        /// Whether the sampled token still joins the sequence: known, but not computed before the session goes on.
        token: bool,
    },
    /// The sequence is over and forgotten; its blocks, slot and snapshots are free.
    Finished,
}

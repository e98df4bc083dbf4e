//! One sequence: where its tokens come from, how far it has been computed, which blocks and slots are its own.

use crate::kernels::operands::step::{Phase, SequenceId, Work};

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the queue. It may hold blocks and a slot, if it is a session that goes on.
    Waiting,
    /// Admitted: it has a slot and the blocks of all its known tokens.
    Running,
    /// Idle: it keeps its blocks and its slot until others need them.
    Kept,
}

/// Where tokens come from, which decides the kernels that compute them, whenever they are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a prompt: computed in chunks.
    Given,
    /// From the model: computed one per step.
    Sampled,
}

impl Origin {
    /// The kernels that compute such tokens.
    pub fn phase(self) -> Phase {
        match self {
            Origin::Given => Phase::Prefill,
            Origin::Sampled => Phase::Decode,
        }
    }
}

/// Consecutive tokens of one origin. They end before position `end` and start where the segment before them ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// One past its last position.
    pub end: usize,
    /// Where its tokens come from.
    pub origin: Origin,
}

/// A slot that holds a copy of a sequence's recurrent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The slot that holds it.
    pub slot: u32,
    /// How many tokens had been computed.
    pub computed: usize,
}

#[derive(Debug)]
pub(super) struct Sequence {
    pub state: State,
    pub segments: Vec<Segment>,
    pub computed: usize,
    /// Number of tokens at which it ends.
    pub max_len: usize,
    pub blocks: Vec<u32>,
    pub slot: Option<u32>,
    pub snapshots: Vec<Snapshot>,
    /// The scheduler's clock when the sequence was last used: idle sessions go in this order.
    pub used: u64,
}

impl Sequence {
    pub fn new(given: usize, max_len: usize, used: u64) -> Sequence {
        let segments = vec![Segment { end: given, origin: Origin::Given }];
        let (blocks, snapshots) = (Vec::new(), Vec::new());
        Sequence { state: State::Waiting, segments, computed: 0, max_len, blocks, slot: None, snapshots, used }
    }

    pub fn known(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.end)
    }

    /// The segment of the next token to compute.
    pub fn segment(&self) -> Option<Segment> {
        self.segments.iter().copied().find(|segment| segment.end > self.computed)
    }

    /// What is computed next within `budget` tokens; nothing where the way to the next allowed cut is longer.
    pub fn work(&self, sequence: SequenceId, budget: usize, align: usize) -> Option<Work> {
        let segment = self.segment()?;
        let start = self.computed;
        let end = match segment.origin {
            Origin::Sampled => start + budget.min(1),
            Origin::Given if segment.end <= start + budget => segment.end,
            Origin::Given => (start + budget) / align * align,
        };
        if end <= start {
            return None;
        }
        let work = Work::new(sequence, segment.origin.phase(), start..end);
        let wants_token = end == self.known() && end < self.max_len;
        Some(if wants_token { work.with_last_output() } else { work })
    }

    /// Appends prompt tokens. Always as a segment of their own: the end of the segment before was a cut when those tokens
    /// were first computed, and has to be one again when they are recomputed.
    pub fn give(&mut self, count: usize) {
        if count > 0 {
            self.segments.push(Segment { end: self.known() + count, origin: Origin::Given });
        }
    }

    /// Appends one token from the model.
    pub fn sample(&mut self) {
        assert!(self.known() < self.max_len, "a token beyond the {} the sequence may have", self.max_len);
        match self.segments.last_mut() {
            Some(Segment { end, origin: Origin::Sampled }) => *end += 1,
            _ => self.segments.push(Segment { end: self.known() + 1, origin: Origin::Sampled }),
        }
    }

    /// Forgets every token from position `known` on.
    pub fn cut(&mut self, known: usize) {
        let whole = self.segments.iter().take_while(|segment| segment.end <= known).count();
        let start = whole.checked_sub(1).map_or(0, |last| self.segments[last].end);
        self.segments.truncate(whole + usize::from(start < known));
        if let Some(last) = self.segments.last_mut() {
            last.end = last.end.min(known);
        }
    }
}

//! One sequence: the origins of its tokens, its computed tokens, its pages and slots.

use crate::kernels::operands::step::{Phase, SequenceId, Work};

/// The state of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the queue. A session that continues may hold pages and a slot.
    Waiting,
    /// Admitted: it has a slot, and pages for all its known tokens.
    Running,
    /// Idle: it keeps its pages and slot until another sequence needs them.
    Kept,
}

/// The origin of a token. It selects the kernels, each time the token is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a prompt: computed in chunks.
    Given,
    /// From the model: computed one per step.
    Sampled,
}

impl Origin {
    /// The phase that computes these tokens.
    pub fn phase(self) -> Phase {
        match self {
            Origin::Given => Phase::Prefill,
            Origin::Sampled => Phase::Decode,
        }
    }
}

/// Consecutive tokens of one origin: from the end of the previous segment to before position `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// One past its last position.
    pub end: usize,
    /// The origin of its tokens.
    pub origin: Origin,
}

/// A slot with a copy of a sequence's recurrent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The slot number.
    pub slot: u32,
    /// Number of computed tokens at the copy.
    pub computed: usize,
}

#[derive(Debug)]
pub(super) struct Sequence {
    pub state: State,
    pub segments: Vec<Segment>,
    pub computed: usize,
    /// Number of tokens at which the sequence ends.
    pub max_len: usize,
    pub pages: Vec<u32>,
    pub slot: Option<u32>,
    pub snapshots: Vec<Snapshot>,
    /// Time of last use on the scheduler's clock: the least recently used idle session loses its memory first.
    pub used: u64,
}

impl Sequence {
    pub fn new(given: usize, max_len: usize, used: u64) -> Sequence {
        let segments = vec![Segment { end: given, origin: Origin::Given }];
        let (pages, snapshots) = (Vec::new(), Vec::new());
        Sequence { state: State::Waiting, segments, computed: 0, max_len, pages, slot: None, snapshots, used }
    }

    pub fn known(&self) -> usize {
        self.segments.last().map_or(0, |segment| segment.end)
    }

    /// The segment of the next token to compute.
    pub fn segment(&self) -> Option<Segment> {
        self.segments.iter().copied().find(|segment| segment.end > self.computed)
    }

    /// The next work within `budget` tokens. `None` if the next allowed cut is farther.
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

    /// Appends prompt tokens, always as a new segment. The end of the segment before was a cut in the first
    /// computation, so it must be a cut in every recomputation.
    pub fn give(&mut self, count: usize) {
        if count > 0 {
            self.segments.push(Segment { end: self.known() + count, origin: Origin::Given });
        }
    }

    /// Appends one sampled token.
    pub fn sample(&mut self) {
        assert!(self.known() < self.max_len, "a token beyond max_len {}", self.max_len);
        match self.segments.last_mut() {
            Some(Segment { end, origin: Origin::Sampled }) => *end += 1,
            _ => self.segments.push(Segment { end: self.known() + 1, origin: Origin::Sampled }),
        }
    }

    /// Removes all tokens from position `known` on.
    pub fn cut(&mut self, known: usize) {
        let whole = self.segments.iter().take_while(|segment| segment.end <= known).count();
        let start = whole.checked_sub(1).map_or(0, |last| self.segments[last].end);
        self.segments.truncate(whole + usize::from(start < known));
        if let Some(last) = self.segments.last_mut() {
            last.end = last.end.min(known);
        }
    }
}

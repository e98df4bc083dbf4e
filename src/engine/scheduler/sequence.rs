//! One sequence: where its tokens come from, how far it has been computed, which blocks and slots are its own.

use std::fmt;

use super::batch::{Chunk, Piece, Single};

/// Names a sequence; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(pub(super) u64);

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence {}", self.0)
    }
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the queue. It may hold blocks and a slot, if it is a session that goes on.
    Waiting,
    /// Admitted: it has a slot and the blocks of all its known tokens.
    Running,
    /// Idle: it keeps its blocks and its slot until others need them.
    Parked,
}

/// Where tokens come from, which decides the kernels that compute them, whenever they are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a prompt: computed in chunks.
    Given,
    /// From the model: computed one per step.
    Sampled,
}

/// A run of tokens of one origin that ends before position `end` and starts where the span before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
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
    pub spans: Vec<Span>,
    pub computed: usize,
    pub most: usize,
    pub blocks: Vec<u32>,
    pub slot: Option<u32>,
    pub snapshots: Vec<Snapshot>,
    /// The scheduler's clock when the sequence was last used: idle sessions go in this order.
    pub used: u64,
}

impl Sequence {
    pub fn new(given: usize, most: usize, used: u64) -> Sequence {
        let spans = vec![Span { end: given, origin: Origin::Given }];
        let (blocks, snapshots) = (Vec::new(), Vec::new());
        Sequence { state: State::Waiting, spans, computed: 0, most, blocks, slot: None, snapshots, used }
    }

    pub fn known(&self) -> usize {
        self.spans.last().map_or(0, |span| span.end)
    }

    /// The span of the next token to compute.
    pub fn span(&self) -> Option<Span> {
        self.spans.iter().copied().find(|span| span.end > self.computed)
    }

    /// What is computed next within `budget` tokens; nothing where the way to the next allowed cut is longer.
    pub fn piece(&self, sequence: SequenceId, budget: usize, align: usize) -> Option<Piece> {
        let span = self.span()?;
        let start = self.computed;
        let end = match span.origin {
            Origin::Sampled => start + budget.min(1),
            Origin::Given if span.end <= start + budget => span.end,
            Origin::Given => (start + budget) / align * align,
        };
        let sample = end == self.known() && end < self.most;
        let piece = match span.origin {
            Origin::Sampled => Piece::Single(Single { sequence, position: start, sample }),
            Origin::Given => Piece::Chunk(Chunk { sequence, start, length: end.saturating_sub(start), sample }),
        };
        (end > start).then_some(piece)
    }

    /// Appends prompt tokens. Always as a span of their own: the end of the span before was a cut when those tokens
    /// were first computed, and has to be one again when they are recomputed.
    pub fn give(&mut self, count: usize) {
        if count > 0 {
            self.spans.push(Span { end: self.known() + count, origin: Origin::Given });
        }
    }

    /// Appends one token from the model.
    pub fn sample(&mut self) {
        assert!(self.known() < self.most, "a token beyond the {} the sequence may have", self.most);
        match self.spans.last_mut() {
            Some(Span { end, origin: Origin::Sampled }) => *end += 1,
            _ => self.spans.push(Span { end: self.known() + 1, origin: Origin::Sampled }),
        }
    }

    /// Forgets every token from position `known` on.
    pub fn cut(&mut self, known: usize) {
        let whole = self.spans.iter().take_while(|span| span.end <= known).count();
        let start = whole.checked_sub(1).map_or(0, |last| self.spans[last].end);
        self.spans.truncate(whole + usize::from(start < known));
        if let Some(last) = self.spans.last_mut() {
            last.end = last.end.min(known);
        }
    }
}

//! Chooses the tokens and sequences of the next step, and allocates their KV pages and DeltaNet slots.
//!
//! Input and output are numbers: the scheduler knows no token, tensor or device. It has no prefill or decode mode.
//! Each sequence has known tokens, some of them computed; each step computes more within a budget. One queue orders
//! all sequences: running ones, oldest first, then waiting ones. No sequence overtakes another, and memory is always
//! taken from the end. So the first sequence advances in every step, and every sequence becomes the first.
//!
//! Results must not depend on cuts or interruptions. So each token keeps its origin. Given tokens are computed in
//! chunks that end at a multiple of the DeltaNet chunk or at the end of their segment, sampled tokens one per step.

mod batch;
mod check;
mod limits;
mod memory;
mod queries;
mod sequence;

use std::collections::{BTreeMap, VecDeque};

pub use crate::kernels::operands::step::SequenceId;
use crate::{
    error::{Error, Result},
    kernels::operands::step::{Phase, Work},
};
pub use batch::{Batch, Outcome};
pub use limits::Limits;
use memory::Pool;
use sequence::Sequence;
pub use sequence::{Origin, Segment, Snapshot, State};

/// Schedules sequences onto steps and allocates the numbers of pages and slots.
///
/// Commit a non-empty batch before you schedule the next one. After a failed step, cancel its sequences, then commit
/// the batch without outcomes.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    sequences: BTreeMap<SequenceId, Sequence>,
    /// In order of admission.
    running: Vec<SequenceId>,
    waiting: VecDeque<SequenceId>,
    pages: Pool,
    slots: Pool,
    added: u64,
    clock: u64,
    /// Whether a batch is not committed yet.
    open: bool,
}

impl Scheduler {
    /// Creates a scheduler with all pages and slots free.
    ///
    /// # Errors
    /// [`Error::Request`] for invalid limits.
    pub fn new(limits: Limits) -> Result<Scheduler> {
        limits.validate()?;
        Ok(Scheduler {
            limits,
            sequences: BTreeMap::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            pages: Pool::new(limits.pages),
            slots: Pool::new(limits.slots),
            added: 0,
            clock: 0,
            open: false,
        })
    }

    /// Queues a new sequence of `given` prompt tokens. It ends at `max_len` tokens, sampled tokens included.
    ///
    /// A sequence with `max_len` known tokens requests no more: it is kept once all are computed.
    ///
    /// # Errors
    /// [`Error::Request`] for an empty prompt, or a sequence that cannot finish even with all memory.
    pub fn add(&mut self, given: usize, max_len: usize) -> Result<SequenceId> {
        if given == 0 {
            return Err(Error::Request("the prompt is empty".into()));
        }
        self.limits.fit(given, max_len)?;
        self.added += 1;
        let id = SequenceId::new(self.added);
        let used = self.tick();
        self.sequences.insert(id, Sequence::new(given, max_len, used));
        self.waiting.push_back(id);
        Ok(id)
    }

    /// Schedules the next step: all running sequences in decode, then running prompts within the budget, then waiting
    /// sequences that fit, first come first served.
    ///
    /// # Panics
    /// If the last batch is not committed.
    pub fn schedule(&mut self) -> Batch {
        self.assert_closed();
        let mut batch = Batch::default();
        self.decode(&mut batch);
        self.prefill(&mut batch);
        self.admit(&mut batch);
        self.open = !batch.is_empty();
        self.debug_check();
        batch
    }

    fn decode(&mut self, batch: &mut Batch) {
        let mut place = 0;
        // Preemption takes the end of the list: possibly this sequence, never a sequence already in the batch.
        while let Some(&id) = self.running.get(place) {
            place += 1;
            let sampled = self.at(id).segment().is_some_and(|segment| segment.origin == Origin::Sampled);
            if sampled && self.grow(id, batch) {
                self.push(id, batch);
            }
        }
    }

    fn prefill(&self, batch: &mut Batch) {
        for &id in &self.running {
            if self.at(id).segment().is_some_and(|segment| segment.origin == Origin::Given) {
                self.push(id, batch);
            }
        }
    }

    fn admit(&mut self, batch: &mut Batch) {
        while let Some(&head) = self.waiting.front() {
            let left = self.limits.budget - batch.tokens();
            let moves = self.at(head).work(head, left, self.limits.align).is_some();
            if self.running.len() == self.limits.sequences || !moves || !self.reserve(head, batch) {
                break;
            }
            self.waiting.pop_front();
            self.running.push(head);
            self.at_mut(head).state = State::Running;
            self.push(head, batch);
        }
    }

    fn push(&self, id: SequenceId, batch: &mut Batch) {
        let left = self.limits.budget - batch.tokens();
        batch.work.extend(self.at(id).work(id, left, self.limits.align));
    }

    /// Records that `batch` is computed, with one outcome for every sequence with requested logits. Skips sequences
    /// canceled in the meantime.
    ///
    /// # Panics
    /// If `batch` is not the last batch, or an outcome is missing or unrequested.
    pub fn commit(&mut self, batch: &Batch, outcomes: &[(SequenceId, Outcome)]) {
        let outcomes: BTreeMap<SequenceId, Outcome> = outcomes.iter().copied().collect();
        for Work { sequence: id, range, outputs, .. } in batch.of(Phase::Decode).chain(batch.of(Phase::Prefill)) {
            let id = *id;
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            assert_eq!(sequence.computed, range.start, "{id}: this batch is not the last one");
            sequence.computed = range.end;
            let outcome = outcomes.get(&id);
            assert_ne!(
                outcome.is_some(),
                outputs.is_empty(),
                "{id}: an outcome for every wanted token and for no other"
            );
            let done = sequence.computed == sequence.max_len;
            match outcome {
                Some(Outcome::Token) => sequence.sample(),
                Some(Outcome::Kept { token }) => {
                    if *token {
                        sequence.sample();
                    }
                    self.settle(id);
                }
                Some(Outcome::Finished) => self.forget(id),
                None if done => self.settle(id),
                None => {}
            }
        }
        self.open = false;
        self.debug_check();
    }

    /// Removes a sequence in any state, between or during steps, and frees its memory.
    pub fn cancel(&mut self, id: SequenceId) {
        if self.sequences.contains_key(&id) {
            self.forget(id);
            self.debug_check();
        }
    }

    /// Makes a running or waiting sequence idle, between steps. Its known and computed tokens stay.
    ///
    /// # Panics
    /// If the last batch is not committed, or the sequence is finished or canceled.
    pub fn keep(&mut self, id: SequenceId) {
        self.assert_closed();
        if self.at(id).state != State::Kept {
            self.settle(id);
            self.debug_check();
        }
    }

    /// Continues an idle session with `given` more prompt tokens, up to `max_len` tokens in total. It joins the end of
    /// the queue like a new sequence.
    ///
    /// # Errors
    /// [`Error::Request`] for a session that is not idle, has no token to compute, or cannot finish with all memory.
    pub fn extend(&mut self, id: SequenceId, given: usize, max_len: usize) -> Result<()> {
        let session = self.kept(id)?;
        let known = session.known().saturating_add(given);
        if known == session.computed {
            return Err(Error::Request(format!("nothing to compute: all {known} tokens of the session are computed")));
        }
        self.limits.fit(known, max_len)?;
        let used = self.tick();
        let session = self.at_mut(id);
        session.give(given);
        (session.max_len, session.used, session.state) = (max_len, used, State::Waiting);
        self.waiting.push_back(id);
        self.debug_check();
        Ok(())
    }

    /// Removes all tokens of an idle session from position `known` on, with their pages and all later snapshots.
    ///
    /// If more tokens were computed, the caller copies the snapshot of exactly `known` tokens into the session's slot.
    /// `known` 0 frees the slot too.
    ///
    /// # Errors
    /// [`Error::Request`] for a session that is not idle or has fewer tokens.
    pub fn rewind(&mut self, id: SequenceId, known: usize) -> Result<()> {
        let session = self.kept(id)?;
        if known > session.known() {
            let has = session.known();
            return Err(Error::Request(format!("the session has {has} tokens and cannot go back to {known}")));
        }
        let session = self.at_mut(id);
        session.cut(known);
        session.computed = session.computed.min(known);
        self.settle(id);
        self.debug_check();
        Ok(())
    }

    /// Makes a sequence idle from any state, and trims its memory to its computed tokens.
    fn settle(&mut self, id: SequenceId) {
        self.leave(id);
        let used = self.tick();
        let sequence = self.at_mut(id);
        (sequence.state, sequence.used) = (State::Kept, used);
        match sequence.computed {
            0 => self.release(id),
            computed => self.trim(id, computed),
        }
    }

    fn forget(&mut self, id: SequenceId) {
        self.leave(id);
        self.release(id);
        self.sequences.remove(&id);
    }

    fn leave(&mut self, id: SequenceId) {
        self.running.retain(|&other| other != id);
        self.waiting.retain(|&other| other != id);
    }

    fn kept(&self, id: SequenceId) -> Result<&Sequence> {
        match self.sequences.get(&id) {
            Some(sequence) if sequence.state == State::Kept => Ok(sequence),
            Some(_) => Err(Error::Request(format!("{id} is still being computed"))),
            None => Err(Error::Request(format!("{id} is over"))),
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn assert_closed(&self) {
        assert!(!self.open, "the last batch is not committed");
    }

    fn debug_check(&self) {
        if cfg!(debug_assertions) {
            self.check();
        }
    }
}

//! Which tokens of which sequences the next step computes, and which KV blocks and DeltaNet slots they may use.
//!
//! Numbers in, numbers out: no token, no tensor and no device is known here. It has no mode for prompts and none for decoding.
//! Each sequence has known tokens, of which some are computed, and catches up within a budget per step. One queue
//! orders them all: those that run, oldest first, then those that wait. Nothing overtakes in it, and memory is always
//! taken from its end, so its first sequence moves on in every step and every sequence gets to be the first.
//!
//! Results must not depend on how a sequence was cut or interrupted. So each token keeps its origin: given tokens are
//! computed in chunks that end at multiples of the DeltaNet chunk or with their segment, sampled tokens one per step.

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

/// Schedules sequences onto steps and owns the numbers of blocks and slots.
///
/// A batch that is not empty has to be committed before the next one. After a step that failed: cancel its sequences,
/// then commit it without outcomes.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    sequences: BTreeMap<SequenceId, Sequence>,
    /// In the order of admission.
    running: Vec<SequenceId>,
    waiting: VecDeque<SequenceId>,
    blocks: Pool,
    slots: Pool,
    added: u64,
    clock: u64,
    /// Whether a batch is out.
    open: bool,
}

impl Scheduler {
    /// A scheduler with everything free, unless the limits are unusable.
    ///
    /// # Errors
    /// [`Error::Request`] for those.
    pub fn new(limits: Limits) -> Result<Scheduler> {
        limits.validate()?;
        Ok(Scheduler {
            limits,
            sequences: BTreeMap::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            blocks: Pool::new(limits.blocks),
            slots: Pool::new(limits.slots),
            added: 0,
            clock: 0,
            open: false,
        })
    }

    /// Queues a new sequence of `given` prompt tokens that has `max_len` tokens at the end, sampled ones included.
    ///
    /// A sequence that knows its `max_len` tokens wants no other: once they are computed it is kept.
    ///
    /// # Errors
    /// [`Error::Request`] for a sequence that could not finish with all memory to itself.
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

    /// The next step: every running sequence that decodes, then running prompts as far as the budget goes, then as
    /// many waiting sequences as fit, first come first served.
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
        // Preemption takes from the end of the list: at worst this sequence, never one that is already in the batch.
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

    /// Records that `batch` was computed, with one outcome for every sequence whose logits it wanted. Sequences that
    /// were cancelled meanwhile are passed over.
    ///
    /// # Panics
    /// If this is not the last batch, or the outcomes are not those that it wanted.
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

    /// Forgets a sequence in whatever state, between or during steps, and frees what it holds.
    pub fn cancel(&mut self, id: SequenceId) {
        if self.sequences.contains_key(&id) {
            self.forget(id);
            self.debug_check();
        }
    }

    /// Makes a running or waiting sequence idle where it stands, between steps. What it knows and what is computed of
    /// it stays.
    ///
    /// # Panics
    /// If the last batch is not committed or the sequence is over.
    pub fn keep(&mut self, id: SequenceId) {
        self.assert_closed();
        if self.at(id).state != State::Kept {
            self.settle(id);
            self.debug_check();
        }
    }

    /// An idle session goes on with `given` more prompt tokens, up to `max_len` tokens in all. It queues like a new one.
    ///
    /// # Errors
    /// [`Error::Request`] for a session that is not idle, has nothing to compute, or could not finish with all memory.
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

    /// An idle session forgets every token after its first `known`, with their blocks and the snapshots taken later.
    ///
    /// Where more was computed, the caller puts the snapshot of exactly `known` tokens into the session's slot. Going
    /// back to 0 gives up the slot too.
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

    /// Takes a sequence from wherever it stands and makes it idle, with the memory of what is computed and no more.
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

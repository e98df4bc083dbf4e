//! Allocation of pages and slots, and their recovery from other sequences.

use super::{Batch, Scheduler, SequenceId, Snapshot, State, sequence::Sequence};

/// A pool of numbers, each allocated to one owner at a time.
#[derive(Debug)]
pub(super) struct Pool {
    free: Vec<u32>,
    lent: Vec<bool>,
}

impl Pool {
    pub fn new(count: usize) -> Pool {
        Pool { free: (0..count as u32).rev().collect(), lent: vec![false; count] }
    }

    pub fn take(&mut self) -> Option<u32> {
        let number = self.free.pop()?;
        self.lent[number as usize] = true;
        Some(number)
    }

    pub fn give(&mut self, number: u32) {
        assert!(std::mem::take(&mut self.lent[number as usize]), "number {number} is freed twice");
        self.free.push(number);
    }

    pub fn free(&self) -> &[u32] {
        &self.free
    }
}

impl Scheduler {
    /// Allocates a slot for a copy of a sequence's current recurrent state, between steps. The scheduler records it as
    /// a [`Snapshot`] of the sequence. Returns `None` if the sequence has no state or no slot is free.
    ///
    /// # Panics
    /// If the last batch is not committed, or the sequence is finished or canceled.
    pub fn lend_slot(&mut self, id: SequenceId) -> Option<u32> {
        self.assert_closed();
        let computed = self.at(id).computed;
        let slot = if computed > 0 { self.slots.take()? } else { return None };
        self.at_mut(id).snapshots.push(Snapshot { slot, computed });
        Some(slot)
    }

    /// Frees the slot of a snapshot of the sequence.
    ///
    /// # Panics
    /// If the sequence is finished or canceled, or does not have this snapshot.
    pub fn return_slot(&mut self, id: SequenceId, slot: u32) {
        let snapshots = &mut self.at_mut(id).snapshots;
        let place = snapshots.iter().position(|snapshot| snapshot.slot == slot);
        snapshots.remove(place.unwrap_or_else(|| panic!("{id} has no snapshot in slot {slot}")));
        self.slots.give(slot);
    }

    /// Ensures that a running sequence has a page for its next token. Takes memory from idle and waiting sequences
    /// first, then preempts the youngest running ones. Returns `false` if that preempts this sequence.
    ///
    /// So the oldest running sequence always advances: all others yield to it, and its own memory always fits.
    pub(super) fn grow(&mut self, id: SequenceId, batch: &mut Batch) -> bool {
        while self.limits.pages_for(self.at(id).computed + 1) > self.at(id).pages.len() {
            if let Some(page) = self.pages.take() {
                self.at_mut(id).pages.push(page);
            } else if let Some(victim) = self.victim(None) {
                self.empty(victim, batch);
                batch.dropped.push(victim);
            } else if let Some(youngest) = self.running.pop() {
                self.empty(youngest, batch);
                batch.preempted.push(youngest);
                self.at_mut(youngest).state = State::Waiting;
                self.waiting.push_front(youngest);
                if youngest == id {
                    return false;
                }
            }
        }
        true
    }

    /// Gives the head of the queue a slot, and pages for all its known tokens and one more, or changes nothing.
    ///
    /// Pages for the next chunk would suffice for this step. But prompts admitted on that basis would preempt each
    /// other half-way and restart. So a prompt gets all its pages at once, and only decoding preempts. For the same
    /// reason, one page per running sequence stays free: when they grow, they would preempt the newest first. A
    /// preempted sequence returns only after memory is freed, since it needs at least as much as it lost.
    pub(super) fn reserve(&mut self, head: SequenceId, batch: &mut Batch) -> bool {
        let sequence = self.at(head);
        let tokens = sequence.max_len.min(sequence.known() + 1);
        let more = self.limits.pages_for(tokens).saturating_sub(sequence.pages.len());
        let (need, slotless) = (more + self.running.len(), sequence.slot.is_none());
        if more > 0 && self.in_reach(head, |sequence| sequence.pages.len()) + self.free_pages() < need {
            return false;
        }
        if slotless && self.slots_in_reach(head) == 0 {
            return false;
        }
        while slotless && self.slots.free().is_empty() {
            if !self.forget_snapshot(batch) {
                self.drop_for(head, batch);
            }
        }
        while more > 0 && self.free_pages() < need {
            self.drop_for(head, batch);
        }
        let pages: Vec<u32> = (0..more).map_while(|_| self.pages.take()).collect();
        let slot = if slotless { self.slots.take() } else { None };
        let sequence = self.at_mut(head);
        sequence.pages.extend(pages);
        sequence.slot = sequence.slot.or(slot);
        true
    }

    /// Sum of `held` over all idle sequences, and all waiting sequences except the head of the queue.
    fn in_reach(&self, head: SequenceId, held: impl Fn(&Sequence) -> usize) -> usize {
        let reach = self.sequences.iter().filter(|&(&id, sequence)| id != head && sequence.state != State::Running);
        reach.map(|(_, sequence)| held(sequence)).sum()
    }

    fn slots_in_reach(&self, head: SequenceId) -> usize {
        let snapshots: usize = self.sequences.values().map(|sequence| sequence.snapshots.len()).sum();
        self.free_slots() + snapshots + self.in_reach(head, |sequence| usize::from(sequence.slot.is_some()))
    }

    fn drop_for(&mut self, head: SequenceId, batch: &mut Batch) {
        let victim = self.victim(Some(head)).expect("the reachable memory suffices");
        self.empty(victim, batch);
        batch.dropped.push(victim);
    }

    /// The next sequence to lose its memory without stopping a running one: the least recently used idle session, then
    /// the last of the queue. Waiting sessions can lose memory, so that no sequence waits for one behind it.
    fn victim(&self, head: Option<SequenceId>) -> Option<SequenceId> {
        let holds = |sequence: &Sequence| sequence.slot.is_some();
        let idle = self.sequences.iter().filter(|(_, sequence)| sequence.state == State::Kept && holds(sequence));
        let queue = || self.waiting.iter().rev().find(|&&id| Some(id) != head && holds(self.at(id)));
        idle.min_by_key(|(_, sequence)| sequence.used).map(|(id, _)| id).or_else(queue).copied()
    }

    /// Frees the oldest snapshot of the least recently used sequence. Returns `false` if there is no snapshot.
    fn forget_snapshot(&mut self, batch: &mut Batch) -> bool {
        let holders = self.sequences.iter_mut().filter(|(_, sequence)| !sequence.snapshots.is_empty());
        let Some((&id, sequence)) = holders.min_by_key(|(_, sequence)| sequence.used) else { return false };
        let snapshot = sequence.snapshots.remove(0);
        self.slots.give(snapshot.slot);
        batch.forgotten.push((id, snapshot));
        true
    }

    /// Frees all memory of a sequence except its tokens, and records its snapshots in the batch.
    fn empty(&mut self, id: SequenceId, batch: &mut Batch) {
        batch.forgotten.extend(self.at(id).snapshots.iter().map(|&snapshot| (id, snapshot)));
        self.release(id);
    }

    /// Frees all memory of a sequence except its tokens. Snapshots are useless without the pages.
    pub(super) fn release(&mut self, id: SequenceId) {
        self.trim(id, 0);
        if let Some(slot) = self.at_mut(id).slot.take() {
            self.slots.give(slot);
        }
    }

    /// Sets the number of computed tokens, and frees pages and snapshots beyond it.
    pub(super) fn trim(&mut self, id: SequenceId, computed: usize) {
        let keep = self.limits.pages_for(computed);
        let sequence = self.sequences.get_mut(&id).expect("a sequence of this scheduler");
        sequence.computed = computed;
        sequence.pages.drain(keep.min(sequence.pages.len())..).for_each(|page| self.pages.give(page));
        let gone = sequence.snapshots.extract_if(.., |snapshot| snapshot.computed > computed);
        gone.for_each(|snapshot| self.slots.give(snapshot.slot));
    }
}

//! What can be asked of a scheduler. Questions about a sequence panic for one that is over; [`Scheduler::state`] tells.

use super::{Limits, Scheduler, Segment, SequenceId, Snapshot, State, sequence::Sequence};

impl Scheduler {
    /// What this scheduler was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether no sequence runs or waits. Kept sessions are no work.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// The running sequences, in the order of admission.
    pub fn running(&self) -> &[SequenceId] {
        &self.running
    }

    /// The waiting sequences, the next to be admitted first.
    pub fn waiting(&self) -> impl Iterator<Item = SequenceId> + '_ {
        self.waiting.iter().copied()
    }

    /// How many blocks nobody owns.
    pub fn free_blocks(&self) -> usize {
        self.blocks.free().len()
    }

    /// How many slots nobody owns.
    pub fn free_slots(&self) -> usize {
        self.slots.free().len()
    }

    /// Where a sequence stands; nothing once it is finished or cancelled.
    pub fn state(&self, id: SequenceId) -> Option<State> {
        self.sequences.get(&id).map(|sequence| sequence.state)
    }

    /// How many of its tokens have gone through the model and are in its memory now.
    pub fn computed(&self, id: SequenceId) -> usize {
        self.at(id).computed
    }

    /// How many tokens it has.
    pub fn known(&self, id: SequenceId) -> usize {
        self.at(id).known()
    }

    /// Where its tokens come from, in order.
    pub fn segments(&self, id: SequenceId) -> &[Segment] {
        &self.at(id).segments
    }

    /// Its blocks: position `p` is in block `p / block`.
    pub fn blocks(&self, id: SequenceId) -> &[u32] {
        &self.at(id).blocks
    }

    /// The slot of its recurrent state, if it has memory.
    pub fn slot(&self, id: SequenceId) -> Option<u32> {
        self.at(id).slot
    }

    /// Its snapshots, in the order in which they were taken.
    pub fn snapshots(&self, id: SequenceId) -> &[Snapshot] {
        &self.at(id).snapshots
    }

    pub(super) fn at(&self, id: SequenceId) -> &Sequence {
        self.sequences.get(&id).unwrap_or_else(|| panic!("{id} is over"))
    }

    pub(super) fn at_mut(&mut self, id: SequenceId) -> &mut Sequence {
        self.sequences.get_mut(&id).unwrap_or_else(|| panic!("{id} is over"))
    }
}

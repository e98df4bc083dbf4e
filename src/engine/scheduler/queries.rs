//! Read access to a scheduler. All methods on a sequence but [`Scheduler::state`] panic if it is finished or canceled.

use super::{Limits, Scheduler, Segment, SequenceId, Snapshot, State, sequence::Sequence};

impl Scheduler {
    /// The limits of this scheduler.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether no sequence runs or waits. Kept sessions may remain.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// The running sequences, in order of admission.
    pub fn running(&self) -> &[SequenceId] {
        &self.running
    }

    /// The waiting sequences, in order of admission.
    pub fn waiting(&self) -> impl Iterator<Item = SequenceId> + '_ {
        self.waiting.iter().copied()
    }

    /// Number of free pages.
    pub fn free_pages(&self) -> usize {
        self.pages.free().len()
    }

    /// Number of free slots.
    pub fn free_slots(&self) -> usize {
        self.slots.free().len()
    }

    /// The state of a sequence; `None` once it is finished or canceled.
    pub fn state(&self, id: SequenceId) -> Option<State> {
        self.sequences.get(&id).map(|sequence| sequence.state)
    }

    /// Number of its tokens that the model has computed and its memory holds.
    pub fn computed(&self, id: SequenceId) -> usize {
        self.at(id).computed
    }

    /// Number of its known tokens.
    pub fn known(&self, id: SequenceId) -> usize {
        self.at(id).known()
    }

    /// The origins of its tokens, in order.
    pub fn segments(&self, id: SequenceId) -> &[Segment] {
        &self.at(id).segments
    }

    /// Its pages: page `p / page_size` holds position `p`.
    pub fn pages(&self, id: SequenceId) -> &[u32] {
        &self.at(id).pages
    }

    /// The slot of its recurrent state, if it has memory.
    pub fn slot(&self, id: SequenceId) -> Option<u32> {
        self.at(id).slot
    }

    /// Its snapshots, oldest first.
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

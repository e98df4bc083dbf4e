//! Consistency: every page and slot has one owner, every sequence is in one place.

use super::{Scheduler, SequenceId, State, sequence::Sequence};

impl Scheduler {
    /// Panics with a message unless every page and slot is free or has exactly one owner and all counters agree. Debug
    /// builds check after every change. The time is proportional to all pages, slots and sequences.
    pub fn check(&self) {
        let all = || self.sequences.values();
        let pages = all().flat_map(|sequence| sequence.pages.iter().copied());
        whole("page", self.limits.pages, pages.chain(self.pages.free().iter().copied()));
        let snapshots = all().flat_map(|sequence| sequence.snapshots.iter().map(|snapshot| snapshot.slot));
        let slots = all().filter_map(|sequence| sequence.slot).chain(snapshots);
        whole("slot", self.limits.slots, slots.chain(self.slots.free().iter().copied()));

        self.check_places();
        for (&id, sequence) in &self.sequences {
            self.check_sequence(id, sequence);
        }
    }

    fn check_places(&self) {
        let count = |state| self.sequences.values().filter(|sequence| sequence.state == state).count();
        let mut places: Vec<SequenceId> = self.running.iter().chain(&self.waiting).copied().collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0] != pair[1]), "a sequence is in two places");
        assert!(self.running.iter().all(|&id| self.at(id).state == State::Running), "wrong state in the running list");
        assert!(self.waiting.iter().all(|&id| self.at(id).state == State::Waiting), "wrong state in the queue");
        assert_eq!(self.running.len(), count(State::Running), "running sequences");
        assert_eq!(self.waiting.len(), count(State::Waiting), "waiting sequences");
        assert!(self.running.len() <= self.limits.sequences, "{} sequences run", self.running.len());
    }

    fn check_sequence(&self, id: SequenceId, sequence: &Sequence) {
        let Sequence { state, computed, max_len, ref segments, ref pages, slot, ref snapshots, .. } = *sequence;
        let known = sequence.known();
        assert!(computed <= known && known <= max_len, "{id}: {computed} computed, {known} known, {max_len} at most");
        assert!(max_len <= self.limits.context, "{id}: {max_len} tokens at most");
        let ends: Vec<usize> = [0].into_iter().chain(segments.iter().map(|segment| segment.end)).collect();
        assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{id}: segments {ends:?}");
        assert!(pages.len() >= self.limits.pages_for(computed), "{id}: {} pages for {computed}", pages.len());
        assert!(
            snapshots.iter().all(|snapshot| snapshot.computed <= computed),
            "{id}: a snapshot past the computed tokens"
        );
        if state == State::Running {
            assert!(slot.is_some(), "{id}: running without a slot");
            assert!(computed < known, "{id}: running with nothing to compute");
        } else {
            assert_eq!(slot.is_some(), computed > 0, "{id}: a slot with {computed} computed");
            assert_eq!(pages.len(), self.limits.pages_for(computed), "{id}: pages for {computed}");
        }
        assert!(slot.is_some() || snapshots.is_empty(), "{id}: snapshots without a slot");
    }
}

/// Panics unless `numbers` are 0 to `count`, each once.
fn whole(what: &str, count: usize, numbers: impl Iterator<Item = u32>) {
    let mut seen = vec![false; count];
    for number in numbers {
        let seen = seen.get_mut(number as usize).unwrap_or_else(|| panic!("there is no {what} {number}"));
        assert!(!std::mem::replace(seen, true), "{what} {number} has two owners");
    }
    let lost = seen.iter().position(|&seen| !seen);
    assert!(lost.is_none(), "{what} {lost:?} has no owner");
}

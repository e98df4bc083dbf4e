//! A simulated engine around the scheduler: slots and pages with contents, computed by simulated kernels.
//!
//! A state is a hash of everything that real kernels depend on: the tokens, their order, their programs and the chunk
//! cuts. After every step it is compared with the hash of the same tokens computed alone in one go. So a shared page,
//! a lost token, a wrong cut or a forgotten origin gives a wrong hash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bimetal::{
    SequenceId,
    low_level::{
        engine::scheduler::{
            Batch, Limits, Origin, Outcome, Scheduler, Snapshot,
            State::{Kept, Running},
        },
        kernels::operands::step::{Phase, Work},
    },
};

use super::timeline::{CUT, SINGLE, Timeline, mix};

pub struct Simulator {
    pub limits: Limits,
    pub scheduler: Scheduler,
    pub timelines: BTreeMap<SequenceId, Timeline>,
    running: Vec<SequenceId>,
    waiting: VecDeque<SequenceId>,
    states: Vec<u64>,
    cache: Vec<u64>,
    dice: u64,
    pub preemptions: usize,
    pub drops: usize,
    /// Digest of all batches so far.
    pub digest: u64,
}

impl Simulator {
    pub fn new(limits: Limits, seed: u64) -> Simulator {
        Simulator {
            limits,
            scheduler: Scheduler::new(limits).unwrap(),
            timelines: BTreeMap::new(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            states: vec![u64::MAX; limits.slots],
            cache: vec![u64::MAX; limits.pages * limits.page_size],
            dice: seed,
            preemptions: 0,
            drops: 0,
            digest: 0,
        }
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.dice = mix(self.dice, 3);
        (self.dice >> 8) % sides
    }

    pub fn add(&mut self, given: usize, max_len: usize) {
        let fits = given > 0 && self.fits(given, max_len);
        let added = self.scheduler.add(given, max_len);
        assert_eq!(added.is_ok(), fits, "{given} to {max_len}: {added:?}");
        if let Ok(id) = added {
            let mut timeline = Timeline { max_len, ..Timeline::default() };
            timeline.give(given, &mut self.dice);
            self.timelines.insert(id, timeline);
            self.waiting.push_back(id);
        }
    }

    fn fits(&self, known: usize, max_len: usize) -> bool {
        known <= max_len && max_len <= self.limits.context && max_len <= self.limits.pages * self.limits.page_size
    }

    pub fn extend(&mut self, id: SequenceId, given: usize, max_len: usize) {
        let (idle, known) = (self.idle(id), self.timelines[&id].tokens.len() + given);
        let fits = self.fits(known, max_len) && known > self.timelines[&id].computed;
        let timeline = self.timelines.get_mut(&id).unwrap();
        let extended = self.scheduler.extend(id, given, max_len);
        assert_eq!(extended.is_ok(), idle && fits, "{given} to {max_len}: {extended:?}");
        if extended.is_ok() {
            if given > 0 {
                timeline.give(given, &mut self.dice);
            }
            timeline.max_len = max_len;
            self.waiting.push_back(id);
        }
    }

    /// Rewinds as an engine can: to the start, to a snapshot, or to the current state.
    pub fn rewind(&mut self, id: SequenceId, choice: usize) {
        let mut timeline = self.timelines[&id].clone();
        let past = timeline.snapshots.iter().map(|snapshot| snapshot.computed);
        let points: Vec<usize> = past.chain([0, timeline.computed, timeline.tokens.len()]).collect();
        let to = points[choice % points.len()];
        let idle = self.idle(id);
        if let (true, Some(from)) = (idle, timeline.snapshots.iter().find(|snapshot| snapshot.computed == to)) {
            self.states[self.scheduler.slot(id).unwrap() as usize] = self.states[from.slot as usize];
        }
        assert_eq!(self.scheduler.rewind(id, to).is_ok(), idle);
        assert!(self.scheduler.rewind(id, timeline.tokens.len() + 1).is_err());
        if idle {
            timeline.tokens.truncate(to);
            timeline.ends.retain(|&end| end < to);
            timeline.ends.insert(to);
            timeline.computed = timeline.computed.min(to);
            timeline.snapshots.retain(|snapshot| snapshot.computed <= to);
            timeline.used = self.tick();
            self.timelines.insert(id, timeline);
        }
    }

    pub fn keep(&mut self, id: SequenceId) {
        if !self.idle(id) {
            self.scheduler.keep(id);
            self.leave(id);
        }
    }

    pub fn cancel(&mut self, id: SequenceId) {
        self.scheduler.cancel(id);
        self.leave(id);
        self.timelines.remove(&id);
    }

    pub fn lend(&mut self, id: SequenceId) {
        let free = self.scheduler.free_slots();
        let timeline = self.timelines.get_mut(&id).unwrap();
        let lent = self.scheduler.lend_slot(id);
        assert_eq!(lent.is_some(), free > 0 && timeline.computed > 0);
        if let Some(slot) = lent {
            timeline.snapshots.push(Snapshot { slot, computed: timeline.computed });
            self.states[slot as usize] = self.states[self.scheduler.slot(id).unwrap() as usize];
        }
    }

    pub fn hand_back(&mut self, id: SequenceId) {
        if let Some(snapshot) = self.timelines.get_mut(&id).unwrap().snapshots.pop() {
            self.scheduler.return_slot(id, snapshot.slot);
        }
    }

    /// One step, with all promises of a batch checked.
    pub fn step(&mut self) -> Batch {
        let queue: Vec<SequenceId> = self.running.iter().chain(&self.waiting).copied().collect();
        let holds = |simulator: &Simulator, id| {
            simulator.scheduler.pages(id).len() + usize::from(simulator.scheduler.slot(id).is_some())
        };
        let held: Vec<_> = queue.iter().map(|&id| (id, holds(self, id))).collect();
        let batch = self.scheduler.schedule();
        self.digest = digest(self.digest, &batch);
        let gained = held.iter().any(|&(id, before)| holds(self, id) > before);
        assert!(gained || batch.dropped.is_empty(), "dropped for nobody");
        self.lose(&batch);
        assert_eq!(parts(&batch), self.expected(&batch));
        assert!(batch.tokens() <= self.limits.budget);
        let once = batch.work.iter().map(|work| work.sequence).collect::<BTreeSet<_>>();
        assert_eq!(once.len(), batch.work.len(), "a sequence twice in one batch");
        let first = queue.first().is_none_or(|first| once.contains(first));
        assert!(first, "the first in the queue stands still");
        let mut outcomes = BTreeMap::new();
        let order = [batch.of(Phase::Decode), batch.of(Phase::Prefill)];
        for work in order.into_iter().flatten() {
            self.compute(work);
            if !work.outputs.is_empty() {
                outcomes.insert(work.sequence, self.outcome());
            }
        }
        self.scheduler.commit(&batch, &outcomes.clone().into_iter().collect::<Vec<_>>());
        for work in [batch.of(Phase::Decode), batch.of(Phase::Prefill)].into_iter().flatten() {
            let id = work.sequence;
            match outcomes.get(&id) {
                Some(&outcome) => self.take(id, outcome),
                None if self.timelines[&id].computed == self.timelines[&id].max_len => self.leave(id),
                None => {}
            }
        }
        self.verify();
        batch
    }

    /// Records what sequences lost, and checks that the right ones lost it.
    fn lose(&mut self, batch: &Batch) {
        let holds = |timeline: &Timeline| timeline.computed > 0;
        for (id, snapshot) in &batch.forgotten {
            let snapshots = &mut self.timelines.get_mut(id).unwrap().snapshots;
            snapshots.remove(snapshots.iter().position(|other| other == snapshot).unwrap());
        }
        for &id in &batch.dropped {
            let idle = self.idle(id);
            let timeline = self.timelines.get_mut(&id).unwrap();
            assert!(holds(timeline), "dropped what held nothing");
            timeline.computed = 0;
            let used = timeline.used;
            let kept = self.timelines.iter().filter(|&(&id, timeline)| self.idle(id) && holds(timeline));
            assert_eq!(kept.filter(|(_, other)| !idle || other.used < used).count(), 0, "an older session was kept");
        }
        for &id in &batch.preempted {
            assert_eq!(self.running.pop(), Some(id), "preempts the youngest");
            self.waiting.push_front(id);
            self.timelines.get_mut(&id).unwrap().computed = 0;
            let kept = self.timelines.iter().filter(|&(&id, timeline)| !self.running.contains(&id) && holds(timeline));
            assert_eq!(kept.count(), 0, "preempted before idle memory was taken");
        }
        self.preemptions += batch.preempted.len();
        self.drops += batch.dropped.len();
    }

    /// The batch that the rules require, given the number of admitted sequences.
    fn expected(&mut self, batch: &Batch) -> [Vec<Work>; 2] {
        let before = self.running.len();
        while self.waiting.front().is_some_and(|&head| self.scheduler.state(head) == Some(Running)) {
            self.running.extend(self.waiting.pop_front());
        }
        assert_eq!(self.running, self.scheduler.running());
        assert!(self.waiting.iter().copied().eq(self.scheduler.waiting()), "overtaken");
        let (old, new) = self.running.split_at(before);
        assert!(new.iter().all(|id| !batch.preempted.contains(id)), "preempted and admitted in one step");
        let need = |one: &Timeline| self.limits.pages_for(one.max_len.min(one.tokens.len() + 1));
        assert!(new.iter().all(|id| self.scheduler.pages(*id).len() >= need(&self.timelines[id])), "admitted too soon");
        let is_given = |id: &&SequenceId| self.timelines[id].tokens[self.timelines[id].computed].1;
        let order = old.iter().filter(|id| !is_given(id)).chain(old.iter().filter(is_given)).chain(new);
        let (mut left, mut given, mut sampled) = (self.limits.budget, Vec::new(), Vec::new());
        for &sequence in order {
            let timeline = &self.timelines[&sequence];
            let Some((start, length, sample)) = timeline.next(left, self.limits.align) else { continue };
            left -= length;
            let outputs = if sample { length - 1..length } else { length..length };
            let work = |phase| Work { sequence, phase, range: start..start + length, outputs };
            match timeline.tokens[start].1 {
                true => given.push(work(Phase::Prefill)),
                false => sampled.push(work(Phase::Decode)),
            }
        }
        self.settled(left);
        [given, sampled]
    }

    /// Checks that the head of the queue waits only for a valid reason.
    fn settled(&self, left: usize) {
        let Some(head) = self.waiting.front() else { return };
        let timeline = &self.timelines[head];
        let tokens = timeline.max_len.min(timeline.tokens.len() + 1);
        let more = self.limits.pages_for(tokens) - self.scheduler.pages(*head).len();
        let pages = more == 0 || self.scheduler.free_pages() >= more + self.running.len();
        let slot = self.scheduler.slot(*head).is_some() || self.scheduler.free_slots() > 0;
        let moves = timeline.next(left, self.limits.align).is_some() && self.running.len() < self.limits.sequences;
        assert!(!(pages && slot && moves), "the head of the queue could have been admitted");
    }

    /// The simulated kernels: they read all earlier tokens through the page table, and update the state in the slot.
    fn compute(&mut self, work: &Work) {
        let (id, std::ops::Range { start, end }) = (work.sequence, work.range.clone());
        let Limits { align, page_size, .. } = self.limits;
        let timeline = self.timelines.get_mut(&id).unwrap();
        let (table, slot) = (self.scheduler.pages(id), self.scheduler.slot(id).unwrap() as usize);
        let place = |position: usize| table[position / page_size] as usize * page_size + position % page_size;
        for (position, token) in timeline.tokens[..start].iter().enumerate() {
            assert_eq!(self.cache[place(position)], token.0, "{id}: the cache of position {position}");
        }
        let mut state = if start == 0 { 0 } else { self.states[slot] };
        for position in start..end {
            let (token, given) = timeline.tokens[position];
            self.cache[place(position)] = token;
            state = mix(state, token);
            let cut = (position + 1).is_multiple_of(align) || position + 1 == end;
            state = if !given {
                mix(state, SINGLE)
            } else if cut {
                mix(state, CUT)
            } else {
                state
            };
        }
        self.states[slot] = state;
        timeline.computed = end;
        assert_eq!(state, timeline.state(end, align), "{id}: the state after {end} tokens");
    }

    fn outcome(&mut self) -> Outcome {
        match self.roll(60) {
            0 => Outcome::Finished,
            1 => Outcome::Kept { token: true },
            2 => Outcome::Kept { token: false },
            _ => Outcome::Token,
        }
    }

    fn take(&mut self, id: SequenceId, outcome: Outcome) {
        if matches!(outcome, Outcome::Token | Outcome::Kept { token: true }) {
            self.timelines.get_mut(&id).unwrap().say(false, &mut self.dice);
        }
        match outcome {
            Outcome::Token => {}
            Outcome::Kept { .. } => self.leave(id),
            Outcome::Finished => {
                self.leave(id);
                self.timelines.remove(&id);
            }
        }
    }

    /// Scheduler and test agree, snapshots are intact, and every page and slot has exactly one owner.
    pub fn verify(&self) {
        self.scheduler.check();
        let (mut pages, mut slots) = (Vec::new(), Vec::new());
        for (&id, timeline) in &self.timelines {
            let known = (self.scheduler.known(id), self.scheduler.computed(id));
            assert_eq!(known, (timeline.tokens.len(), timeline.computed), "{id}");
            let origins = self.scheduler.segments(id).iter().scan(0, |start, segment| {
                let length = segment.end - std::mem::replace(start, segment.end);
                Some(std::iter::repeat_n(segment.origin == Origin::Given, length))
            });
            assert!(origins.flatten().eq(timeline.tokens.iter().map(|token| token.1)), "{id}: origins");
            assert_eq!(self.scheduler.snapshots(id), timeline.snapshots, "{id}");
            for snapshot in &timeline.snapshots {
                let state = timeline.state(snapshot.computed, self.limits.align);
                assert_eq!(self.states[snapshot.slot as usize], state, "{id}: the state in {snapshot:?}");
            }
            pages.extend_from_slice(self.scheduler.pages(id));
            slots.extend(self.scheduler.slot(id).into_iter().chain(timeline.snapshots.iter().map(|one| one.slot)));
        }
        assert_eq!(distinct(&pages) + self.scheduler.free_pages(), self.limits.pages);
        assert_eq!(distinct(&slots) + self.scheduler.free_slots(), self.limits.slots);
    }

    fn idle(&self, id: SequenceId) -> bool {
        self.scheduler.state(id) == Some(Kept)
    }

    fn leave(&mut self, id: SequenceId) {
        self.running.retain(|&other| other != id);
        self.waiting.retain(|&other| other != id);
        let used = self.tick();
        self.timelines.get_mut(&id).unwrap().used = used;
    }

    fn tick(&mut self) -> u64 {
        1 + self.timelines.values().map(|timeline| timeline.used).max().unwrap_or(0)
    }
}

fn distinct(numbers: &[u32]) -> usize {
    let count = numbers.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(count, numbers.len(), "two owners");
    count
}

/// All fields of a batch, in order.
fn digest(before: u64, batch: &Batch) -> u64 {
    let number = |id: &SequenceId| id.to_string().bytes().fold(0, |number, byte| mix(number, byte.into()));
    let parts = parts(batch);
    let mut words: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
    for Work { sequence, range, outputs, .. } in parts.iter().flatten() {
        words.extend([number(sequence), range.start as u64, range.len() as u64, outputs.len() as u64]);
    }
    for ids in [&batch.preempted, &batch.dropped] {
        words.push(ids.len() as u64);
        words.extend(ids.iter().map(number));
    }
    for (id, snapshot) in &batch.forgotten {
        words.extend([number(id), snapshot.slot.into(), snapshot.computed as u64]);
    }
    words.into_iter().fold(before, mix)
}

/// The work of a batch: given tokens, then sampled ones.
pub fn parts(batch: &Batch) -> [Vec<Work>; 2] {
    [Phase::Prefill, Phase::Decode].map(|phase| batch.of(phase).cloned().collect())
}

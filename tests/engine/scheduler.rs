//! The scheduler's rules one by one, then all of them under random traffic.

mod simulator;
mod timeline;

use bimetal::{
    Error, SequenceId,
    low_level::{
        engine::scheduler::{Batch, Limits, Outcome, Scheduler, Snapshot, State},
        kernels::operands::step::{Phase, Work},
    },
};
use proptest::{collection::vec, prelude::*};

use simulator::{Simulator, parts};

const LIMITS: Limits = Limits { budget: 16, align: 8, page_size: 4, pages: 20, slots: 4, sequences: 4, context: 80 };

fn scheduler(limits: Limits) -> Scheduler {
    Scheduler::new(limits).unwrap()
}

/// One step in which every requested token has this outcome.
fn step(scheduler: &mut Scheduler, outcome: Outcome) -> Batch {
    let batch = scheduler.schedule();
    let wanted = batch.work.iter().filter(|work| !work.outputs.is_empty());
    let outcomes: Vec<_> = wanted.map(|work| (work.sequence, outcome)).collect();
    scheduler.commit(&batch, &outcomes);
    batch
}

/// A session of `tokens` given tokens, computed and idle.
fn session(scheduler: &mut Scheduler, tokens: usize) -> SequenceId {
    let id = scheduler.add(tokens, tokens).unwrap();
    while scheduler.state(id) != Some(State::Kept) {
        step(scheduler, Outcome::Token);
    }
    id
}

fn chunk(sequence: SequenceId, start: usize, length: usize, sample: bool) -> Work {
    let outputs = if sample { length - 1..length } else { length..length };
    Work { sequence, phase: Phase::Prefill, range: start..start + length, outputs }
}

fn single(sequence: SequenceId, position: usize) -> Work {
    Work { sequence, phase: Phase::Decode, range: position..position + 1, outputs: 0..1 }
}

fn refusal<T: std::fmt::Debug>(result: bimetal::Result<T>) -> String {
    match result.unwrap_err() {
        Error::Request(what) => what,
        other => panic!("{other}"),
    }
}

#[test]
fn unusable_limits_are_refused() {
    let what = refusal(Scheduler::new(Limits { budget: 11, ..LIMITS }));
    assert!(what.contains("11") && what.contains("12"), "{what}");
    assert!(Scheduler::new(Limits { budget: 12, ..LIMITS }).is_ok());
    for limits in [
        Limits { align: 0, ..LIMITS },
        Limits { page_size: 0, ..LIMITS },
        Limits { pages: 0, ..LIMITS },
        Limits { slots: 0, ..LIMITS },
        Limits { sequences: 0, ..LIMITS },
        Limits { context: 0, ..LIMITS },
    ] {
        assert!(refusal(Scheduler::new(limits)).contains("0 is not between"));
    }
    Scheduler::new(Limits::default()).unwrap();
}

#[test]
fn what_can_never_fit_is_refused_with_its_figures() {
    let mut small = scheduler(Limits { pages: 10, ..LIMITS });
    assert!(small.add(1, 40).is_ok());
    let what = refusal(small.add(1, 41));
    assert!(what.contains("11 KV pages for 41 tokens") && what.contains("there are 10"), "{what}");
    let what = refusal(small.add(1, 81));
    assert!(what.contains("81") && what.contains("80"), "{what}");
    refusal(small.add(0, 5));
    refusal(small.add(6, 5));
}

#[test]
fn a_prompt_is_cut_at_multiples_of_the_chunk_and_at_its_end() {
    let mut one = scheduler(LIMITS);
    let a = one.add(21, 30).unwrap();
    assert_eq!(step(&mut one, Outcome::Token).work, [chunk(a, 0, 16, false)]);
    let b = one.add(13, 30).unwrap();
    // 11 tokens remain for the other, but only 8 of them end at an allowed cut.
    assert_eq!(step(&mut one, Outcome::Token).work, [chunk(a, 16, 5, true), chunk(b, 0, 8, false)]);
    let batch = step(&mut one, Outcome::Token);
    assert_eq!(parts(&batch), [vec![chunk(b, 8, 5, true)], vec![single(a, 21)]]);
}

#[test]
fn a_session_goes_on_where_it_ended() {
    let mut one = scheduler(LIMITS);
    let a = one.add(10, 13).unwrap();
    step(&mut one, Outcome::Token);
    step(&mut one, Outcome::Kept { token: true });
    assert_eq!((one.known(a), one.computed(a), one.state(a)), (12, 11, Some(State::Kept)));
    assert!(one.is_idle() && one.schedule().is_empty());
    one.extend(a, 7, 30).unwrap();
    assert_eq!(step(&mut one, Outcome::Token).work, [Work { outputs: 1..1, ..single(a, 11) }]);
    assert_eq!(step(&mut one, Outcome::Token).work, [chunk(a, 12, 7, true)]);
    assert!(refusal(one.extend(a, 1, 30)).contains("still"));
}

#[test]
fn a_sequence_that_wants_no_token_is_kept() {
    let mut one = scheduler(LIMITS);
    let a = session(&mut one, 10);
    assert_eq!((one.computed(a), one.pages(a).len(), one.free_pages()), (10, 3, 17));
    assert!(refusal(one.extend(a, 0, 20)).contains("10 tokens"));
}

#[test]
fn decoding_comes_first_and_prompts_in_order() {
    let mut one = scheduler(LIMITS);
    let a = one.add(20, 30).unwrap();
    let b = one.add(3, 30).unwrap();
    let c = one.add(30, 40).unwrap();
    step(&mut one, Outcome::Token);
    assert_eq!(one.waiting().collect::<Vec<_>>(), [b, c]);
    assert_eq!(step(&mut one, Outcome::Token).work.iter().map(|one| one.sequence).collect::<Vec<_>>(), [a, b, c]);
    let batch = step(&mut one, Outcome::Token);
    assert_eq!(parts(&batch), [vec![chunk(c, 8, 8, false)], vec![single(a, 20), single(b, 3)]]);
}

#[test]
fn nobody_overtakes_in_the_queue() {
    let mut one = scheduler(LIMITS);
    let a = one.add(38, 60).unwrap();
    let large = one.add(50, 60).unwrap();
    let small = one.add(1, 2).unwrap();
    while one.computed(a) < 38 {
        step(&mut one, Outcome::Token);
    }
    step(&mut one, Outcome::Token);
    assert_eq!((one.running(), one.waiting().collect::<Vec<_>>()), ([a].as_slice(), vec![large, small]));
}

#[test]
fn admission_takes_all_blocks_at_once_and_leaves_one_for_each_that_runs() {
    let mut one = scheduler(Limits { pages: 10, ..LIMITS });
    let a = one.add(4, 20).unwrap();
    let b = one.add(28, 40).unwrap();
    step(&mut one, Outcome::Token);
    assert_eq!((one.pages(a).len(), one.pages(b).len()), (2, 0));
    step(&mut one, Outcome::Finished);
    assert_eq!((one.waiting().next(), one.pages(b).len(), one.computed(b)), (Some(b), 0, 0));
    step(&mut one, Outcome::Token);
    assert_eq!((one.running(), one.pages(b).len(), one.computed(b)), ([b].as_slice(), 8, 16));
    one.cancel(b);
    one.add(4, 20).unwrap();
    let c = one.add(27, 40).unwrap();
    step(&mut one, Outcome::Token);
    assert_eq!((one.pages(c).len(), one.computed(c), one.free_pages()), (7, 8, 1));
}

#[test]
fn the_youngest_gives_way_and_keeps_its_tokens_and_origins() {
    let mut one = scheduler(Limits { pages: 8, ..LIMITS });
    let a = one.add(8, 32).unwrap();
    let b = one.add(7, 20).unwrap();
    let preempted = loop {
        let batch = step(&mut one, Outcome::Token);
        if !batch.preempted.is_empty() {
            break batch.preempted;
        }
    };
    assert_eq!((preempted, one.computed(b), one.slot(b)), (vec![b], 0, None));
    let (known, segments) = (one.known(b), one.segments(b).to_vec());
    assert!(known > 8 && one.pages(b).is_empty());
    while one.state(a) != Some(State::Kept) {
        assert_eq!(one.state(b), Some(State::Waiting));
        step(&mut one, Outcome::Token);
    }
    assert_eq!(one.segments(b), segments);
    assert_eq!(step(&mut one, Outcome::Token).work, [chunk(b, 0, 7, false)]);
    let again = (7..known).map(|_| step(&mut one, Outcome::Finished).work.remove(0));
    let wanted = |at| if at + 1 == known { single(b, at) } else { Work { outputs: 1..1, ..single(b, at) } };
    assert!(again.eq((7..known).map(wanted)));
}

#[test]
fn idle_sessions_go_before_running_ones_the_least_recently_used_first() {
    let mut one = scheduler(Limits { pages: 10, ..LIMITS });
    let (old, new) = (session(&mut one, 8), session(&mut one, 8));
    one.extend(old, 4, 12).unwrap();
    step(&mut one, Outcome::Token);
    one.add(8, 40).unwrap();
    let dropped: Vec<_> = std::iter::from_fn(|| {
        let batch = (!one.is_idle()).then(|| step(&mut one, Outcome::Token))?;
        assert!(batch.preempted.is_empty());
        Some(batch.dropped)
    })
    .flatten()
    .collect();
    assert_eq!(dropped, [new, old]);
    assert_eq!((one.known(old), one.computed(old), one.state(old)), (12, 0, Some(State::Kept)));
    one.extend(old, 1, 13).unwrap();
    assert_eq!(step(&mut one, Outcome::Token).work, [chunk(old, 0, 8, false)]);
}

#[test]
fn snapshots_go_before_idle_sessions() {
    let mut one = scheduler(Limits { slots: 3, ..LIMITS });
    let (a, b) = (session(&mut one, 8), session(&mut one, 5));
    let slot = one.lend_slot(a).unwrap();
    assert_eq!(one.snapshots(a), [Snapshot { slot, computed: 8 }]);
    assert_eq!(one.lend_slot(a), None);
    let c = one.add(3, 3).unwrap();
    let batch = step(&mut one, Outcome::Token);
    assert_eq!((batch.forgotten, batch.dropped), (vec![(a, Snapshot { slot, computed: 8 })], vec![]));
    one.add(3, 3).unwrap();
    assert_eq!(step(&mut one, Outcome::Token).dropped, [a]);
    let kept = one.lend_slot(b);
    assert_eq!((kept, one.state(c)), (None, Some(State::Kept)));
    one.cancel(c);
    let slot = one.lend_slot(b).unwrap();
    one.return_slot(b, slot);
    assert_eq!(one.free_slots(), 1);
}

#[test]
fn rewinding_frees_what_is_behind() {
    let mut one = scheduler(LIMITS);
    let a = session(&mut one, 8);
    one.lend_slot(a).unwrap();
    one.extend(a, 20, 28).unwrap();
    step(&mut one, Outcome::Token);
    assert!(refusal(one.rewind(a, 8)).contains("still"));
    step(&mut one, Outcome::Token);
    one.lend_slot(a).unwrap();
    assert!(refusal(one.rewind(a, 29)).contains("28"));
    one.rewind(a, 8).unwrap();
    assert_eq!((one.known(a), one.computed(a), one.free_pages(), one.free_slots()), (8, 8, 18, 2));
    one.extend(a, 3, 20).unwrap();
    assert_eq!(step(&mut one, Outcome::Finished).work, [chunk(a, 8, 3, true)]);
    assert_eq!((one.state(a), one.free_pages(), one.free_slots()), (None, 20, 4));
    assert!(refusal(one.extend(a, 1, 9)).contains("over"));
}

#[test]
fn cancelling_during_a_step_frees_everything_once() {
    let mut one = scheduler(LIMITS);
    let (a, b) = (one.add(4, 9).unwrap(), one.add(20, 20).unwrap());
    let batch = one.schedule();
    one.cancel(a);
    one.cancel(b);
    one.cancel(b);
    one.commit(&batch, &[(a, Outcome::Token)]);
    assert_eq!((one.free_pages(), one.free_slots(), one.is_idle()), (20, 4, true));
}

#[test]
#[should_panic(expected = "is not committed")]
fn a_batch_has_to_be_committed() {
    let mut one = scheduler(LIMITS);
    one.add(4, 9).unwrap();
    one.schedule();
    one.schedule();
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Step,
    Add(usize, usize),
    Extend(usize, usize, usize),
    Rewind(usize, usize),
    Keep(usize),
    Cancel(usize),
    Lend(usize),
    HandBack(usize),
}

fn limits() -> impl Strategy<Value = Limits> {
    (1..9usize, 1..9usize, 1..25usize, 1..7usize, 1..6usize, 4..65usize, 0..20usize).prop_map(
        |(align, page_size, pages, slots, sequences, context, spare)| {
            let budget = align + sequences + spare;
            Limits { budget, align, page_size, pages, slots, sequences, context }
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => Just(Act::Step),
        4 => (0..40usize, 0..30usize).prop_map(|(given, more)| Act::Add(given, more)),
        3 => (0..99usize, 0..20usize, 0..20usize).prop_map(|(who, given, more)| Act::Extend(who, given, more)),
        1 => (0..99usize, 0..9usize).prop_map(|(who, place)| Act::Rewind(who, place)),
        1 => (0..99usize).prop_map(Act::Keep),
        1 => (0..99usize).prop_map(Act::Cancel),
        2 => (0..99usize).prop_map(Act::Lend),
        1 => (0..99usize).prop_map(Act::HandBack),
    ]
}

fn perform(simulator: &mut Simulator, act: Act) {
    let ids: Vec<SequenceId> = simulator.timelines.keys().copied().collect();
    let pick = |who: usize| ids.get(who % ids.len().max(1)).copied();
    match act {
        Act::Step => drop(simulator.step()),
        Act::Add(given, more) => simulator.add(given, given + more),
        Act::Extend(who, given, more) => {
            if let Some(id) = pick(who) {
                let known = simulator.timelines[&id].tokens.len();
                simulator.extend(id, given, (known + given + more).saturating_sub(2));
            }
        }
        Act::Rewind(who, place) => pick(who).into_iter().for_each(|id| simulator.rewind(id, place)),
        Act::Keep(who) => pick(who).into_iter().for_each(|id| simulator.keep(id)),
        Act::Cancel(who) => pick(who).into_iter().for_each(|id| simulator.cancel(id)),
        Act::Lend(who) => pick(who).into_iter().for_each(|id| simulator.lend(id)),
        Act::HandBack(who) => pick(who).into_iter().for_each(|id| simulator.hand_back(id)),
    }
    simulator.verify();
}

/// Steps until all work is done, at most one step per token.
fn drain(simulator: &mut Simulator) {
    let bound: usize = simulator.timelines.values().map(|timeline| timeline.max_len).sum();
    for _ in 0..bound {
        simulator.step();
    }
    assert!(simulator.scheduler.is_idle(), "not done after {bound} steps");
    for id in simulator.timelines.keys().copied().collect::<Vec<_>>() {
        simulator.cancel(id);
    }
    assert_eq!(simulator.scheduler.free_pages(), simulator.limits.pages);
    assert_eq!(simulator.scheduler.free_slots(), simulator.limits.slots);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_traffic(limits in limits(), seed: u64, acts in vec(act(), 1..90)) {
        let mut simulator = Simulator::new(limits, seed);
        for act in acts {
            perform(&mut simulator, act);
        }
        drain(&mut simulator);
    }
}

/// Many sequences that outgrow a small cache. The random tests are useful only if memory really runs out in them.
#[test]
fn crowded_traffic_preempts_and_drops() {
    let (mut preemptions, mut drops) = (0, 0);
    for seed in 0..300 {
        let limits = Limits { pages: 12, sequences: 3, slots: 5, context: 48, ..LIMITS };
        let mut simulator = Simulator::new(limits, seed);
        for _ in 0..12 {
            let (given, more) = (1 + simulator.roll(14) as usize, simulator.roll(33) as usize);
            simulator.add(given, given + more);
            for _ in 0..simulator.roll(9) {
                simulator.step();
            }
        }
        drain(&mut simulator);
        preemptions += simulator.preemptions;
        drops += simulator.drops;
    }
    assert!(preemptions > 300 && drops > 300, "{preemptions} preemptions, {drops} drops");
}

/// Fixed traffic of every kind. The digest covers the order of all work, and changes only with the rules.
#[test]
fn batches_of_known_traffic_stay_as_they_are() {
    let mut digest = 0;
    for seed in 0..300 {
        let limits = Limits { pages: 14, sequences: 3, slots: 6, context: 48, ..LIMITS };
        let mut simulator = Simulator::new(limits, seed);
        for _ in 0..90 {
            let mut roll = |sides| simulator.roll(sides) as usize;
            let (kind, who, given, more) = (roll(25), roll(99), roll(30), roll(20));
            let act = match kind {
                0..=3 => Act::Add(given, more),
                4..=6 => Act::Extend(who, given, more),
                7 => Act::Rewind(who, given),
                8 => Act::Keep(who),
                9 => Act::Cancel(who),
                10 | 11 => Act::Lend(who),
                12 => Act::HandBack(who),
                _ => Act::Step,
            };
            perform(&mut simulator, act);
        }
        drain(&mut simulator);
        digest = timeline::mix(digest, simulator.digest);
    }
    assert_eq!(digest, 0x7fb9_89b6_cb57_7b21, "{digest:#x}");
}

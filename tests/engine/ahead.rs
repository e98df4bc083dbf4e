//! A decode step that the device computes ahead changes no token and no logits of any sequence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bimetal::{
    Backend, Engine, EngineOptions, Request, Sampling, SequenceId,
    low_level::{compute::caps::DeviceKind, engine::AtEnd},
};

use crate::parity::{Subject, engine, options, prompt, settings};

/// One sequence: its first step, its prompt length, its maximum new tokens, and the step of its cancellation, if any.
struct Visit {
    step: usize,
    length: usize,
    max_tokens: usize,
    gone: Option<usize>,
}

/// The step at which the last sequence starts.
const LAST: usize = 18;

/// They start while others decode, end at different times, and one is canceled.
const VISITS: [Visit; 5] = [
    Visit { step: 0, length: 20, max_tokens: 24, gone: None },
    Visit { step: 2, length: 70, max_tokens: 7, gone: None },
    Visit { step: 4, length: 5, max_tokens: 20, gone: Some(12) },
    Visit { step: 6, length: 33, max_tokens: 15, gone: None },
    Visit { step: LAST, length: 2, max_tokens: 10, gone: None },
];

/// The output of a sequence, token by token: the token and the bits of the logits after it. The last logits are gone if
/// the sequence is freed.
type Yield = Vec<(u32, Option<Vec<u32>>)>;

fn add(engine: &mut Engine, (visit, seed): (&Visit, u32), stop: &BTreeSet<u32>, at_end: AtEnd) -> SequenceId {
    let prompt = prompt(visit.length, seed);
    let request =
        Request { prompt, sampling: Sampling::greedy(), max_tokens: visit.max_tokens, stop: stop.clone(), at_end };
    engine.add(request).unwrap()
}

fn step(engine: &mut Engine, yields: &mut BTreeMap<SequenceId, Yield>) {
    for event in engine.step().unwrap() {
        let logits = engine.logits(event.sequence).unwrap();
        let bits = logits.map(|logits| logits.iter().map(|logit| logit.to_bits()).collect());
        yields.entry(event.sequence).or_default().push((event.token, bits));
    }
}

/// Each visit alone, kept at its end: such sequences are never computed ahead.
fn alone(backend: &Arc<dyn Backend>, subject: Subject) -> Vec<Yield> {
    let mut engine = engine(backend, subject, options());
    let yields = (0..).zip(&VISITS).map(|(seed, visit)| {
        let (id, mut yields) = (add(&mut engine, (visit, seed), &BTreeSet::new(), AtEnd::Keep), BTreeMap::new());
        while !engine.is_idle() {
            step(&mut engine, &mut yields);
        }
        engine.cancel(id);
        yields.remove(&id).unwrap()
    });
    let yields = yields.collect();
    assert_eq!(engine.steps_ahead(), 0);
    yields
}

/// What is left of each output if these tokens stop it.
fn stopped(free: &[Yield], stop: &BTreeSet<u32>) -> Vec<Yield> {
    let end =
        |output: &Yield| output.iter().position(|(token, _)| stop.contains(token)).map_or(output.len(), |at| at + 1);
    free.iter().map(|output| output[..end(output)].to_vec()).collect()
}

/// All visits together, freed at their end.
fn together(engine: &mut Engine, stop: &BTreeSet<u32>) -> Vec<Yield> {
    let (mut ids, mut yields) = (vec![None; VISITS.len()], BTreeMap::new());
    for at in 0.. {
        for ((seed, visit), id) in (0..).zip(&VISITS).zip(&mut ids) {
            if visit.step == at {
                *id = Some(add(engine, (visit, seed), stop, AtEnd::Free));
            }
            if visit.gone == Some(at) {
                engine.cancel(id.unwrap());
            }
        }
        if at > LAST && engine.is_idle() {
            break;
        }
        step(engine, &mut yields);
    }
    ids.into_iter().map(|id| yields.remove(&id.unwrap()).unwrap_or_default()).collect()
}

#[test]
fn what_is_computed_ahead_is_what_would_have_been_computed() {
    for (name, backend, subject) in settings() {
        let none = BTreeSet::new();
        let free = alone(&backend, subject);
        // Ends the first sequence after some tokens, and others if they happen to sample these ids.
        let stop = BTreeSet::from([free[0][11].0]);
        for (stop, wanted) in [(&none, &free), (&stop, &stopped(&free, &stop))] {
            for sequences in [1, 3] {
                let mut engine = engine(&backend, subject, EngineOptions { sequences, ..options() });
                for (visit, (got, wanted)) in together(&mut engine, stop).iter().zip(wanted).enumerate() {
                    let whole = VISITS[visit].gone.is_none();
                    assert!(!whole || got.len() == wanted.len(), "{name}: {} of {} tokens", got.len(), wanted.len());
                    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                        assert_eq!(got.0, wanted.0, "{name}: token {at} of visit {visit}");
                        assert!(got.1.is_none() || got.1 == wanted.1, "{name}: logits of token {at} of visit {visit}");
                    }
                }
                let ahead = engine.steps_ahead();
                assert_eq!(ahead > 0, backend.caps().kind != DeviceKind::Cpu, "{name}: {ahead} steps ahead");
                println!("{name}: {ahead} steps ahead, with {sequences} at once");
            }
        }
    }
}

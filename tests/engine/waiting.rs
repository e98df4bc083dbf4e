//! An engine on a device that answers late: a step is pending until then, and never blocks.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bimetal::{
    Backend, Engine, EngineOptions, Event, Model, Request, Sampling,
    low_level::{
        compute::{caps::DeviceKind, dtype::DType},
        engine::{AtEnd, sampler::Mode},
        model::{built_in, weights::Source},
    },
};

use crate::support::late::{Late, polled};

fn engine(kind: DeviceKind) -> (Arc<Late>, Engine) {
    let late = Arc::new(Late::new(kind));
    let backend: Arc<dyn Backend> = late.clone();
    let checkpoint = built_in::open().unwrap();
    let model = Model::load(&backend, &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {}).unwrap();
    let options = EngineOptions {
        context: Some(64),
        sequences: 2,
        budget: Some(128),
        memory: Some(1 << 30),
        ..EngineOptions::default()
    };
    (late, Engine::new(Arc::new(model), options).unwrap())
}

fn request(sampling: Sampling, max_tokens: usize) -> Request {
    Request { prompt: vec![5, 9, 2, 7], sampling, max_tokens, stop: BTreeSet::new(), at_end: AtEnd::Free }
}

fn step(late: &Late, engine: &mut Engine) -> (usize, Vec<Event>) {
    let (waits, events) = polled(late, engine.step_async());
    (waits, events.unwrap())
}

/// Greedy choices are read as one number a row; candidates as two; where nothing is cut, a whole row more.
#[test]
fn a_step_is_pending_until_the_device_has_answered() {
    for kind in [DeviceKind::Cpu, DeviceKind::Discrete] {
        for sampling in [Sampling::greedy(), Sampling::model_card(Mode::Direct), Sampling::plain()] {
            let (late, mut engine) = engine(kind);
            let ids: Vec<_> = (0..2).map(|_| engine.add(request(sampling.clone(), 6)).unwrap()).collect();
            let mut tokens = vec![0; ids.len()];
            while !engine.is_idle() {
                let (waits, events) = step(&late, &mut engine);
                assert!(waits > 0 && !events.is_empty(), "{kind:?} {sampling:?}: {waits} waits, {events:?}");
                for event in events {
                    tokens[ids.iter().position(|id| *id == event.sequence).unwrap()] += 1;
                }
            }
            assert_eq!(tokens, [6, 6], "{kind:?} {sampling:?}");
            assert_eq!(engine.steps_ahead() > 0, kind == DeviceKind::Discrete && sampling == Sampling::greedy());
        }
    }
}

#[test]
fn a_step_that_is_dropped_forgets_its_sequences_and_the_engine_goes_on() {
    let (late, mut engine) = engine(DeviceKind::Discrete);
    let id = engine.add(request(Sampling::greedy(), 20)).unwrap();
    // In a prompt, and with a step computed ahead.
    for steps in [0, 3] {
        let id = if steps == 0 { id } else { engine.add(request(Sampling::greedy(), 20)).unwrap() };
        (0..steps).for_each(|_| drop(step(&late, &mut engine)));
        assert!(pin!(engine.step_async()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(engine.tokens(id).is_none() && engine.is_idle());
    }
    let again = engine.add(request(Sampling::greedy(), 3)).unwrap();
    let events: Vec<_> =
        std::iter::from_fn(|| (!engine.is_idle()).then(|| step(&late, &mut engine).1)).flatten().collect();
    assert!(events.len() == 3 && events.iter().all(|event| event.sequence == again), "{events:?}");
}

/// What a server needs: engines, and steps that wait, go from thread to thread.
#[test]
fn steps_go_to_other_threads() {
    fn sent<T: Send>(value: T) -> T {
        value
    }
    let (late, engine) = engine(DeviceKind::Cpu);
    let mut engine = sent(engine);
    let id = engine.add(request(Sampling::greedy(), 1)).unwrap();
    let mut step = pin!(sent(engine.step_async()));
    assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    late.answer();
    let Poll::Ready(events) = step.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!("pending") };
    assert_eq!(events.unwrap()[0].sequence, id);
}

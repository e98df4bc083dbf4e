//! An engine on a device that answers late: a step is pending until then, and never blocks.

use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    ops::Range,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bimetal::{
    Backend, Engine, EngineOptions, Event, Model, Request, Result, Sampling,
    low_level::{
        compute::{
            caps::{Caps, DeviceKind},
            cpu::Cpu,
            dtype::DType,
            memory::{BufferId, Memory, Pending},
            pass::{Pass, Program},
        },
        engine::{AtEnd, sampler::Mode},
        model::{built_in, weights::Source},
    },
};

/// The host's memory, behind a device whose reads arrive when [`Late::answer`] is called, and not before.
struct Late {
    inner: Cpu,
    caps: Caps,
    reads: Arc<Mutex<Reads>>,
}

#[derive(Default)]
struct Reads {
    asked: u64,
    answered: u64,
    wakers: Vec<Waker>,
}

impl Late {
    /// `kind` decides whether an engine looks ahead.
    fn new(kind: DeviceKind) -> Self {
        let inner = Cpu::new(1);
        let caps = Caps { kind, ..inner.caps().clone() };
        Self { inner, caps, reads: Arc::default() }
    }

    /// Lets the oldest read arrive that has not yet.
    fn answer(&self) {
        let wakers = {
            let reads = &mut *self.reads.lock().unwrap();
            assert!(reads.answered < reads.asked, "nothing was asked");
            reads.answered += 1;
            std::mem::take(&mut reads.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Memory for Late {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.inner.alloc(bytes, label)
    }
    fn free(&self, id: BufferId) {
        self.inner.free(id);
    }
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.inner.write(id, at, data)
    }
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        let (mut bytes, reads) = (self.inner.read(id, range), self.reads.clone());
        let number = {
            let reads = &mut *reads.lock().unwrap();
            reads.asked += 1;
            reads.asked
        };
        Box::pin(poll_fn(move |context| {
            let reads = &mut *reads.lock().unwrap();
            if reads.answered < number {
                reads.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            bytes.as_mut().poll(context)
        }))
    }
}

impl Backend for Late {
    fn caps(&self) -> &Caps {
        &self.caps
    }
    fn load(&self, pass: Pass) -> Result<Program> {
        self.inner.load(pass)
    }
    fn run(&self, program: &Program) -> Result<()> {
        self.inner.run(program)
    }
    fn wait(&self) -> Result<()> {
        panic!("an engine waits for nothing but what it reads")
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

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

/// One step, polled by hand: how often it was pending, and what came of it. The device answers after the second poll of
/// each wait, and then the step has been woken.
fn step(late: &Late, engine: &mut Engine) -> (usize, Vec<Event>) {
    let (woken, mut waits) = (Arc::new(Woken::default()), 0);
    let waker = Waker::from(woken.clone());
    let mut step = pin!(engine.step_async());
    let mut poll = || step.as_mut().poll(&mut Context::from_waker(&waker));
    loop {
        if let Poll::Ready(events) = poll() {
            return (waits, events.unwrap());
        }
        assert!(poll().is_pending(), "nothing has arrived");
        let before = woken.0.load(Ordering::Relaxed);
        late.answer();
        assert!(woken.0.load(Ordering::Relaxed) > before, "nobody was woken");
        waits += 1;
    }
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

//! A failed step gives its error to every text that it ended, and to no other.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bimetal::{
    Backend, Conversation, Error, Result, Stream,
    low_level::compute::{
        caps::Caps,
        cpu::Cpu,
        memory::{BufferId, Memory, Pending},
        pass::{Pass, Program},
    },
};

use super::{PROMPT, alone, finish, generator, options};

/// The cpu backend, which fails on request.
struct Failing {
    cpu: Cpu,
    fails: Arc<AtomicBool>,
}

impl Memory for Failing {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.cpu.alloc(bytes, label)
    }
    fn free(&self, id: BufferId) {
        self.cpu.free(id);
    }
    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.cpu.write(id, at, data)
    }
    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        self.cpu.read(id, range)
    }
}

impl Backend for Failing {
    fn caps(&self) -> &Caps {
        self.cpu.caps()
    }
    fn load(&self, pass: Pass) -> Result<Program> {
        self.cpu.load(pass)
    }
    fn run(&self, program: &Program) -> Result<()> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(Error::Device { label: "a run".into(), what: "it was told to fail".into() });
        }
        self.cpu.run(program)
    }
    fn wait(&self) -> Result<()> {
        self.cpu.wait()
    }
}

fn failing() -> (Arc<dyn Backend>, Arc<AtomicBool>) {
    let fails = Arc::<AtomicBool>::default();
    (Arc::new(Failing { cpu: Cpu::default(), fails: fails.clone() }), fails)
}

#[track_caller]
fn assert_failed<T>(outcome: Result<T>) {
    let error = outcome.err().expect("the step fails").to_string();
    assert!(error.contains("a run") && error.contains("it was told to fail"), "{error}");
}

#[test]
fn a_failed_step_ends_its_texts_and_the_next_ones_are_served() {
    let (backend, fails) = failing();
    let mut g = generator(&backend, 2);
    let expected = alone(&mut g, PROMPT, &options(Vec::new()));
    let ids = [0, 1].map(|_| g.add(PROMPT, &options(Vec::new())).unwrap());
    g.step().unwrap();
    fails.store(true, Ordering::Relaxed);
    assert_failed(g.step());
    assert!(ids.iter().all(|id| !g.engine().is_running(*id)) && g.is_idle());
    assert_eq!(alone(&mut g, PROMPT, &options(Vec::new())), expected);
}

#[test]
fn an_error_in_a_stream_reaches_the_texts_beside_it() {
    let (backend, fails) = failing();
    let mut g = generator(&backend, 2);
    let beside = g.add(PROMPT, &options(Vec::new())).unwrap();
    let mut stream = g.stream(PROMPT, &options(Vec::new())).unwrap();
    let first = stream.next().unwrap().unwrap();
    fails.store(true, Ordering::Relaxed);
    assert_failed(stream.next().unwrap());
    assert!(stream.next().is_none());
    drop(stream);
    // Earlier text comes first.
    let events = g.step().unwrap();
    assert!(events.iter().all(|event| event.id == beside && event.finish.is_none()), "{events:?}");
    assert!(events.iter().map(|event| event.text.as_str()).collect::<String>().starts_with(&first));
    assert_failed(g.step());
    assert!(g.is_idle());
}

#[test]
fn a_question_whose_answer_failed_can_be_asked_again() {
    let (backend, fails) = failing();
    let (mut g, mut conversation) = (generator(&backend, 1), Conversation::default());
    let question = "Tell me more.";
    let said = |stream: Stream<'_>| stream.map(Result::unwrap).collect::<String>();
    let first = said(conversation.say(&mut g, PROMPT, &options(Vec::new())).unwrap());
    let before = conversation.messages.clone();
    assert_eq!((before.len(), &before[1].content), (2, &first));
    let mut stream = conversation.say(&mut g, question, &options(Vec::new())).unwrap();
    stream.next().unwrap().unwrap();
    fails.store(true, Ordering::Relaxed);
    assert_failed(stream.next().unwrap());
    drop(stream);
    assert_eq!(conversation.messages, before);
    let again = said(conversation.say(&mut g, question, &options(Vec::new())).unwrap());
    assert_eq!((&conversation.messages[2].content, &conversation.messages[3].content), (&question.into(), &again));
}

/// With room for one sequence the stream waits, so the failed step computes only the other text.
#[test]
fn an_error_of_another_text_leaves_the_stream_alone() {
    let (backend, fails) = failing();
    let mut g = generator(&backend, 1);
    let expected = alone(&mut g, PROMPT, &options(Vec::new()));
    g.add("The dog and the cat", &options(Vec::new())).unwrap();
    g.step().unwrap();
    fails.store(true, Ordering::Relaxed);
    assert_eq!(alone(&mut g, PROMPT, &options(Vec::new())), expected);
    assert!(!fails.load(Ordering::Relaxed), "the step failed");
    let events = g.step().unwrap_or_default();
    assert!(events.iter().all(|event| event.finish.is_none()));
    if !events.is_empty() {
        assert_failed(g.step());
    }
    assert!(finish(&mut g).is_empty());
}

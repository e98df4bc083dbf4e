//! Streams that end early give back what they held.

use std::sync::Arc;

use crate::support::backends::backends;
use bimetal::{
    compute::backend::Backend,
    engine::{AtEnd, Finish, Options, Request, sampler::Sampling},
    generate::generator::{Ends, Generator, Settings, Setup},
    model::built_in,
};

const CONTEXT: u32 = 64;
const PROMPT: &str = "Once upon a time, there was a little";

/// Memory for one sequence and no more.
fn generator(backend: &Arc<dyn Backend>) -> Generator {
    let engine = Options { context: Some(CONTEXT), budget: 128, sequences: 1, ..Options::default() };
    let setup = Setup { engine, ..Setup::default() };
    Generator::open(backend, &built_in::open().unwrap(), setup, &mut |_, _| {}).unwrap()
}

fn settings(stop: Vec<String>) -> Settings {
    Settings { sampling: Sampling::greedy(), most: 24, stop, ends: Ends::AtStop }
}

/// A request that needs all memory there is, run to its end.
fn fill(g: &mut Generator) {
    let (prompt, sampling) = (vec![7; CONTEXT as usize - 2], Sampling::greedy());
    let id = g.engine.add(Request { prompt, sampling, max_tokens: 2, stop: [].into(), at_end: AtEnd::Free }).unwrap();
    let events: usize = (0..4).map(|_| g.engine.step().unwrap().len()).sum();
    assert!(events == 2 && !g.engine.is_running(id), "the next request does not get the memory it needs");
}

#[test]
fn a_text_that_a_stop_string_ends_gives_its_memory_back() {
    for (name, backend) in backends() {
        let mut g = generator(&backend);
        let whole: String = g.stream(PROMPT, &settings(Vec::new())).unwrap().map(Result::unwrap).collect();
        let words: Vec<&str> = whole.split_inclusive(' ').collect();
        for at in [2, 4, 6] {
            let (before, stop) = (words[..at].concat(), words[at..at + 2].concat());
            let before = &whole[..whole.find(&stop).unwrap().min(before.len())];
            let mut stream = g.stream(PROMPT, &settings(vec![stop.clone()])).unwrap();
            let said: String = stream.by_ref().map(Result::unwrap).collect();
            assert_eq!((said.as_str(), stream.finish()), (before, Some(Finish::Stop)), "{name}: {stop:?}");
            drop(stream);
            assert!(g.engine.is_idle(), "{name}: it is still being computed");
            fill(&mut g);
        }
    }
}

#[test]
fn a_stream_that_is_dropped_gives_its_memory_back() {
    let (_, backend) = backends().remove(0);
    let mut g = generator(&backend);
    for pieces in [0, 1, 3] {
        let taken = g.stream(PROMPT, &settings(Vec::new())).unwrap().take(pieces).filter(Result::is_ok).count();
        assert_eq!(taken, pieces);
        assert!(g.engine.is_idle());
        fill(&mut g);
    }
}

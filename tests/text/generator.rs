//! A generator with many texts: each is the same as alone, ends where it should, and loses nothing to the others.

mod batch;
mod defaults;
mod embed;
mod errors;
mod score;
mod streams;
mod waiting;

use std::{collections::BTreeMap, sync::Arc};

use bimetal::{
    Backend, EngineOptions, Finish, GenerationOptions, Generator, GeneratorOptions, Sampling, SequenceId,
    low_level::{compute::dtype::DType, generate::StopAt, model::built_in},
};

const CONTEXT: u32 = 64;
const PROMPT: &str = "Once upon a time, there was a little";

/// f32, and memory for only a few sequences.
fn generator(backend: &Arc<dyn Backend>, sequences: u32) -> Generator {
    let engine = EngineOptions { context: Some(CONTEXT), budget: Some(128), sequences, ..EngineOptions::default() };
    let options = GeneratorOptions { precision: DType::F32.into(), engine };
    Generator::new(backend, &built_in::open().unwrap(), options, &mut |_, _| {}).unwrap()
}

fn options(stop: Vec<String>) -> GenerationOptions {
    GenerationOptions { sampling: Sampling::greedy(), max_tokens: 24, stop, stop_at: StopAt::StopId }
}

/// A text generated alone, and its finish reason.
fn alone(g: &mut Generator, prompt: &str, options: &GenerationOptions) -> (String, Option<Finish>) {
    let mut stream = g.stream(prompt, options).unwrap();
    let said = stream.by_ref().map(Result::unwrap).collect();
    (said, stream.finish())
}

/// Steps until no text is open. Returns each text and its finish reason.
fn finish(g: &mut Generator) -> BTreeMap<SequenceId, (String, Option<Finish>)> {
    let mut texts = BTreeMap::<_, (String, Option<Finish>)>::new();
    while !g.is_idle() {
        for event in g.step().unwrap() {
            let text = texts.entry(event.id).or_default();
            assert_eq!(text.1, None, "an event after the last one of {}", event.id);
            text.0.push_str(&event.text);
            text.1 = event.finish;
        }
    }
    assert!(g.engine().is_idle());
    texts
}

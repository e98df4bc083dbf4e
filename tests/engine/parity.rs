//! Results depend only on the sequence, bit for bit: not on prefill chunks, other sequences or interruptions.

use std::{collections::BTreeSet, sync::Arc};

use bimetal::{
    Backend, Engine, EngineOptions, Model, Precision, Request, Sampling, SequenceId,
    low_level::{compute::dtype::DType, engine::AtEnd, model::weights::Source},
};

use crate::support::{
    backends::{Present, backends},
    fixtures::checkpoint,
};

/// A fixture, the types that it computes in, and the type of keys and values.
pub type Subject = (&'static str, Precision, DType);

/// In f32; with f16 for all inputs of matrix units, and heads of their widths; with quantized weights, and with keys
/// and values of 8 bits.
const SUBJECTS: [Subject; 5] = [
    ("tiny-f32", Precision { activations: Some(DType::F32), weights: None }, DType::F16),
    ("real-heads-bf16", Precision { activations: Some(DType::F16), weights: None }, DType::F16),
    ("tiny-f32", Precision { activations: Some(DType::F32), weights: Some(DType::Q4) }, DType::F16),
    ("tiny-f32", Precision { activations: Some(DType::F32), weights: None }, DType::Q8Heads),
    ("real-heads-bf16", Precision { activations: Some(DType::F16), weights: Some(DType::Q8) }, DType::Q8Heads),
];

fn model(backend: &Arc<dyn Backend>, (name, form, _): Subject) -> Model {
    Model::load(backend, &Source::Checkpoint(&checkpoint(name)), form, &mut |_, _| {}).unwrap()
}

pub fn engine(backend: &Arc<dyn Backend>, subject: Subject, options: EngineOptions) -> Engine {
    Engine::new(Arc::new(model(backend, subject)), EngineOptions { kv: subject.2, ..options }).unwrap()
}

/// Every backend with every model.
pub fn settings() -> Vec<(String, Arc<dyn Backend>, Subject)> {
    let named = |(name, backend): Present| {
        SUBJECTS.map(|subject| {
            (format!("{name}: {} {:?}, {:?}", subject.0, subject.1, subject.2), backend.clone(), subject)
        })
    };
    backends().into_iter().flat_map(named).collect()
}

pub fn options() -> EngineOptions {
    EngineOptions { context: Some(256), sequences: 3, budget: Some(192), ..EngineOptions::default() }
}

pub fn prompt(length: usize, seed: u32) -> Vec<u32> {
    (0..length as u32).map(|i| (i * 97 + seed * 31 + i * i % 13) % 128).collect()
}

fn add(engine: &mut Engine, prompt: Vec<u32>, max_tokens: usize) -> SequenceId {
    let stop = BTreeSet::new();
    engine.add(Request { prompt, sampling: Sampling::greedy(), max_tokens, stop, at_end: AtEnd::Keep }).unwrap()
}

/// The bits of the logits after every token of some sequences, run to their ends.
fn follow(engine: &mut Engine, ids: &[SequenceId]) -> Vec<Vec<Vec<u32>>> {
    let mut rows = vec![Vec::new(); ids.len()];
    while !engine.is_idle() {
        for event in engine.step().unwrap() {
            let logits = engine.logits(event.sequence).unwrap().unwrap();
            let at = ids.iter().position(|id| *id == event.sequence).unwrap();
            rows[at].push(logits.iter().map(|logit| logit.to_bits()).collect());
        }
    }
    rows
}

fn alone(engine: &mut Engine, prompt: Vec<u32>, max_tokens: usize) -> Vec<Vec<u32>> {
    let id = add(engine, prompt, max_tokens);
    let rows = follow(engine, &[id]).remove(0);
    engine.cancel(id);
    rows
}

#[test]
fn any_legal_chunking_gives_the_same_bits() {
    for (name, backend, subject) in settings() {
        for (length, chunks) in [(150, &[64, 128][..]), (300, &[64, 128, 192, 256])] {
            let ids = prompt(length, 1);
            // The budget has one token for each sequence that may decode beside the chunk.
            let cut = |chunk: u32| EngineOptions { context: Some(320), budget: Some(chunk + 3), ..options() };
            let whole = alone(&mut engine(&backend, subject, cut(320)), ids.clone(), 4);
            assert_eq!(whole.len(), 4);
            for chunk in chunks {
                let cut = alone(&mut engine(&backend, subject, cut(*chunk)), ids.clone(), 4);
                assert_eq!(whole, cut, "{name}: chunks of {chunk}");
            }
            println!("{name}: chunks of {chunks:?} equal the whole prompt of {length}");
        }
    }
}

#[test]
fn a_batch_of_three_gives_the_bits_of_three_alone() {
    for (name, backend, subject) in settings() {
        let mut engine = engine(&backend, subject, options());
        let prompts = [prompt(65, 2), prompt(3, 3), prompt(100, 4)];
        let single: Vec<_> = prompts.iter().map(|prompt| alone(&mut engine, prompt.clone(), 6)).collect();
        let ids: Vec<_> = prompts.iter().map(|prompt| add(&mut engine, prompt.clone(), 6)).collect();
        assert_eq!(follow(&mut engine, &ids), single, "{name}");
        println!("{name}: three together equal three alone");
    }
}

#[test]
fn a_preempted_sequence_resumes_with_the_same_bits() {
    for (name, backend, subject) in settings() {
        let prompts = [prompt(60, 5), prompt(60, 6)];
        let mut roomy = engine(&backend, subject, options());
        let single: Vec<_> = prompts.iter().map(|prompt| alone(&mut roomy, prompt.clone(), 40)).collect();
        // Both prompts fit into 11 pages of 16 tokens, but both answers do not: the second sequence is preempted.
        let tight = EngineOptions { context: Some(112), sequences: 2, ..options() };
        let mut tight = engine(
            &backend,
            subject,
            EngineOptions { memory: Some(memory_for(&backend, subject, tight, 11)), ..tight },
        );
        assert_eq!(tight.plan().pages, 11, "{name}");
        let ids: Vec<_> = prompts.iter().map(|prompt| add(&mut tight, prompt.clone(), 40)).collect();
        assert_eq!(follow(&mut tight, &ids), single, "{name}");
        assert!(tight.preemptions() > 0, "{name}: both fitted, so nothing was preempted");
        assert_eq!(roomy.preemptions(), 0, "{name}");
        println!("{name}: preempted {} times equals uninterrupted", tight.preemptions());
    }
}

/// The minimum memory with which an engine has this many pages.
fn memory_for(backend: &Arc<dyn Backend>, subject: Subject, options: EngineOptions, pages: u32) -> u64 {
    let model = model(backend, subject);
    let enough = |memory: u64| {
        EngineOptions { memory: Some(memory), kv: subject.2, ..options }
            .plan(&model)
            .is_ok_and(|plan| plan.pages >= pages)
    };
    let (mut low, mut high) = (0u64, 1 << 32);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

#[test]
fn a_replayed_program_gives_the_same_bits_from_the_same_state() {
    for (name, backend, subject) in settings() {
        let mut engine = engine(&backend, subject, options());
        let first = alone(&mut engine, prompt(70, 7), 5);
        assert_eq!(first, alone(&mut engine, prompt(70, 7), 5), "{name}");
    }
}

//! The built-in model against its recorded reference.

use std::collections::BTreeMap;

use bimetal::{
    Engine, EngineOptions, GenerationOptions, Generator, GeneratorOptions, Request, Sampling,
    low_level::{engine::AtEnd, model::built_in},
};

use serde_json::Value;

use crate::{harness, support::backends};

/// Maximum difference of logits. If the reference's two best are closer, another greedy token may be right.
const BOUND: f32 = 2e-3;

#[test]
fn the_built_in_model_says_what_the_reference_recorded() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories/reference.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    for (name, backend) in backends::backends() {
        let sequences = cases.len() as u32;
        let options = EngineOptions { kv: harness::FULL.kv, context: Some(512), sequences, ..EngineOptions::default() };
        let opened = GeneratorOptions { precision: harness::FULL.inputs.into(), engine: options };
        let generator = Generator::new(&backend, &built_in::open().unwrap(), opened, &mut |_, _| {}).unwrap();
        for (case, said) in cases.iter().zip(tell(name, &generator, cases, options)) {
            let greedy = ids(&case["greedy_ids"]);
            let same = said.iter().zip(&greedy).take_while(|(a, b)| a == b).count();
            let gap = case["smallest_top1_top2_gap"].as_f64().unwrap() as f32;
            if same < greedy.len() {
                println!("{name}: leaves the recorded path at token {same}; the smallest gap on it is {gap}");
            }
            assert!(same == greedy.len() || gap <= BOUND, "{name}: token {same} differs at a gap of {gap} or more");
        }
    }
}

/// What the model says in each case, all told together. The first logits of each are compared with the recorded ones.
fn tell(name: &str, generator: &Generator, cases: &[Value], options: EngineOptions) -> Vec<Vec<u32>> {
    let mut engine = Engine::new(generator.engine().model().clone(), options).unwrap();
    let mut said = BTreeMap::new();
    let started = cases.iter().map(|case| {
        let prompt = generator.text.tokenizer.encode(case["prompt"].as_str().unwrap()).unwrap();
        assert_eq!(prompt, ids(&case["prompt_ids"]), "prompt ids");
        let (stop, max_tokens) = ([4093, 4095].into(), ids(&case["greedy_ids"]).len());
        let request = Request { prompt, sampling: Sampling::greedy(), max_tokens, stop, at_end: AtEnd::Keep };
        engine.add(request).unwrap()
    });
    let started: Vec<_> = started.collect();
    while !engine.is_idle() {
        for event in engine.step().unwrap() {
            let words: &mut Vec<u32> = said.entry(event.sequence).or_default();
            if words.is_empty() {
                let case = &cases[started.iter().position(|id| *id == event.sequence).unwrap()];
                compare(name, case, &engine.logits(event.sequence).unwrap().unwrap());
            }
            words.push(event.token);
        }
    }
    started.iter().map(|id| said.remove(id).unwrap()).collect()
}

fn compare(name: &str, case: &Value, logits: &[f32]) {
    let top: Vec<f32> = serde_json::from_value(case["next_top8_logits"].clone()).unwrap();
    let got: Vec<f32> = ids(&case["next_top8_ids"]).iter().map(|id| logits[*id as usize]).collect();
    let error = harness::largest_error(&got, &top);
    println!("{name}: {:?}: top-8 logits {error:.1e}", case["prompt"].as_str().unwrap());
    assert!(error <= BOUND, "{name}: top-8 logits {got:?}, expected {top:?}");
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn a_text_of_no_tokens_ends() {
    let (_, backend) = backends::backends().remove(0);
    let engine = EngineOptions { context: Some(64), sequences: 1, ..EngineOptions::default() };
    let options = GeneratorOptions { engine, ..GeneratorOptions::default() };
    let mut generator = Generator::new(&backend, &built_in::open().unwrap(), options, &mut |_, _| {}).unwrap();
    for _ in 0..2 {
        let options = GenerationOptions { max_tokens: 0, ..generator.generation_options() };
        let mut stream = generator.stream("Once upon a time", &options).unwrap();
        let steps = (0..100).take_while(|_| stream.advance().map(Result::unwrap).is_some()).count();
        assert!(steps < 100, "it goes on without computing anything");
        assert_eq!(stream.timing().generated, 0);
        drop(stream);
        assert!(generator.engine().is_idle() && generator.is_idle());
    }
}

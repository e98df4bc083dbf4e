//! The built-in model against its recorded reference.

use std::collections::BTreeSet;

use bimetal::{
    Engine, EngineOptions, GenerationOptions, Generator, GeneratorOptions, Request, Sampling,
    low_level::{engine::AtEnd, model::built_in},
};

use crate::{harness, support::backends};

/// Maximum difference of logits. If the reference's two best are closer, another greedy token may be right.
const BOUND: f32 = 2e-3;

#[test]
fn the_built_in_model_says_what_the_reference_recorded() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories/reference.json");
    let recorded: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let ids = |value: &serde_json::Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    for (name, backend) in backends::backends() {
        let options =
            EngineOptions { kv: harness::FULL.kv, context: Some(512), sequences: 1, ..EngineOptions::default() };
        let opened = GeneratorOptions { precision: harness::FULL.inputs.into(), engine: options };
        let checkpoint = built_in::open().unwrap();
        let generator = Generator::new(&backend, &checkpoint, opened, &mut |_, _| {}).unwrap();
        let mut engine = Engine::new(generator.engine().model().clone(), options).unwrap();
        for case in recorded["cases"].as_array().unwrap() {
            let prompt = generator.text.tokenizer.encode(case["prompt"].as_str().unwrap()).unwrap();
            assert_eq!(prompt, ids(&case["prompt_ids"]), "prompt ids");
            let greedy = ids(&case["greedy_ids"]);
            let stop: BTreeSet<u32> = [4093, 4095].into();
            let request =
                Request { prompt, sampling: Sampling::greedy(), max_tokens: greedy.len(), stop, at_end: AtEnd::Keep };
            let id = engine.add(request).unwrap();
            let mut said = Vec::new();
            while engine.is_running(id) {
                for event in engine.step().unwrap() {
                    if said.is_empty() {
                        let logits = engine.logits(id).unwrap().unwrap();
                        let top: Vec<f32> = serde_json::from_value(case["next_top8_logits"].clone()).unwrap();
                        let got: Vec<f32> = ids(&case["next_top8_ids"]).iter().map(|id| logits[*id as usize]).collect();
                        let error = harness::largest_error(&got, &top);
                        println!("{name}: {:?}: top-8 logits {error:.1e}", case["prompt"].as_str().unwrap());
                        assert!(error <= BOUND, "{name}: top-8 logits {got:?}, expected {top:?}");
                    }
                    said.push(event.token);
                }
            }
            engine.cancel(id);
            let same = said.iter().zip(&greedy).take_while(|(a, b)| a == b).count();
            let gap = case["smallest_top1_top2_gap"].as_f64().unwrap() as f32;
            if same < greedy.len() {
                println!("{name}: leaves the recorded path at token {same}; the smallest gap on it is {gap}");
            }
            assert!(same == greedy.len() || gap <= BOUND, "{name}: token {same} differs at a gap of {gap} or more");
        }
    }
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

//! The perplexity and comparison of models, against figures of a separate implementation in f64.

use std::{ops::ControlFlow, sync::Arc};

use bimetal::{
    Backend, Engine, EngineOptions, Error, Model, Precision, Request, Sampling,
    low_level::{
        compute::{cpu::Cpu, dtype::DType},
        engine::AtEnd,
        generate::TextAssets,
        model::{built_in, weights::Source},
        text::tokenizer::Tokenizer,
    },
    measure::perplexity::{Cut, Distribution, Extent, Passage, Side, Window, compare, perplexity},
};

use crate::support::{backends::backends, fixtures::checkpoint};

/// Two documents, a separator after each.
const EXCERPT: &str = include_str!("../fixtures/excerpt.txt");

/// The mean negative log-likelihood of the first 129 ids in windows of 64.
const NLL_OF_128: f64 = 3.165_945;

const ALL: usize = usize::MAX;

fn tokenizer() -> Tokenizer {
    TextAssets::of(&built_in::open().unwrap()).unwrap().tokenizer
}

fn side(backend: &Arc<dyn Backend>, quant: Option<DType>) -> Side {
    let checkpoint = built_in::open().unwrap();
    let precision = Precision { activations: Some(DType::F32), weights: quant };
    let model = Model::load(backend, &Source::Checkpoint(&checkpoint), precision, &mut |_, _| {}).unwrap();
    Side { model: Arc::new(model), kv: DType::F32 }
}

fn cpu() -> Arc<dyn Backend> {
    Arc::new(Cpu::default())
}

fn go_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Number of scored ids and mean negative log-likelihood.
fn measured(side: &Side, passage: &Passage) -> (usize, f64) {
    let found = perplexity(side, passage, &mut go_on).unwrap();
    assert!(found.extent.complete);
    (found.extent.scored, found.nll.value)
}

fn windows(cut: Cut, max_ids: usize) -> Passage {
    Passage::windows(EXCERPT, &tokenizer(), cut, max_ids).unwrap()
}

/// Within 0.1 % of the perplexity.
#[track_caller]
fn assert_near(name: &str, (scored, nll): (usize, f64), (count, wanted): (usize, f64)) {
    println!("{name}: {scored} ids, {nll:.6} for {wanted:.6}");
    assert_eq!(scored, count, "{name}");
    assert!((nll - wanted).abs() < 1e-3, "{name}: {nll}, expected {wanted}");
}

#[test]
fn every_backend_finds_the_perplexity_of_the_reference() {
    let passage = windows(Cut::apart(64), 129);
    assert_eq!((passage.ids.len(), passage.windows.len()), (129, 2));
    for (name, backend) in backends() {
        assert_near(name, measured(&side(&backend, None), &passage), (128, NLL_OF_128));
    }
}

#[test]
fn protocols() {
    let side = side(&cpu(), None);
    let documents = Passage::documents(EXCERPT, &tokenizer(), Cut::apart(4096), ALL).unwrap();
    assert_eq!(documents.documents, 2);
    let whole = Cut::apart(512);
    let sliding = Cut { window: 64, stride: 16 };
    for (name, passage, wanted) in [
        ("windows of 64", windows(Cut::apart(64), ALL), (362, 1.828_376)),
        ("windows of 64 by 16", windows(sliding, ALL), (362, 1.458_693)),
        ("one window", windows(whole, ALL), (362, 0.898_156)),
        ("documents", documents, (363, 0.865_412)),
    ] {
        assert_near(name, measured(&side, &passage), wanted);
    }
}

#[test]
fn documents_of_an_excerpt() {
    let tokenizer = tokenizer();
    let documents = |text: &str, max_ids| Passage::documents(text, &tokenizer, Cut::apart(64), max_ids).unwrap();
    let whole = documents(EXCERPT, ALL);
    // A separator ends one document and begins the next; empty documents do not count.
    assert_eq!(whole, documents(&format!("<|endoftext|>{EXCERPT}<|endoftext|>"), ALL));
    assert_eq!((whole.ids[0], *whole.ids.last().unwrap(), whole.scored()), (4093, 4093, 363));
    let first = documents(EXCERPT, 40);
    assert_eq!((first.ids.len(), first.scored(), first.documents), (41, 40, 1));
    assert_eq!(first.ids, whole.ids[..41]);
    assert_eq!(documents(EXCERPT, 363), whole);
}

#[test]
fn rows_are_what_an_engine_chooses_by_bit_for_bit() {
    for (name, backend) in backends() {
        if name.starts_with("emulator") {
            continue;
        }
        let side = side(&backend, None);
        let all = windows(Cut::apart(64), 71);
        let last = |ids, scored| Window { ids: 0..ids, scored };
        let passage = Passage { windows: vec![last(2, 1), last(42, 2), last(71, 2)], ..all };
        let options = EngineOptions {
            kv: DType::F32,
            context: Some(128),
            budget: Some(128),
            sequences: 1,
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(side.model.clone(), options).unwrap();
        let losses = [1, 40, 41, 69, 70].map(|at| (passage.ids[..at].to_vec(), passage.ids[at]));
        let losses = losses.map(|(prompt, next)| {
            let (sampling, stop) = (Sampling::greedy(), [].into());
            let id = engine.add(Request { prompt, sampling, max_tokens: 1, stop, at_end: AtEnd::Keep }).unwrap();
            while engine.is_running(id) {
                engine.step().unwrap();
            }
            let logits = engine.logits(id).unwrap().unwrap();
            engine.cancel(id);
            -Distribution::of(&logits).unwrap().log(next)
        });
        let mean = losses.iter().sum::<f64>() / 5.0;
        assert_eq!(measured(&side, &passage), (5, mean), "{name}");
    }
}

#[test]
fn a_model_is_itself_and_quantized_ones_are_near() {
    let (backend, passage) = (cpu(), windows(Cut::apart(512), 201));
    let reference = side(&backend, None);
    let against = |other: &Side| compare([&reference, other], &passage, &mut go_on).unwrap();
    let same = against(&reference);
    assert_eq!((same.divergence.value, same.divergence_quantiles), (0.0, [0.0; 3]));
    assert_eq!((same.same_top.value, same.log_ratio.value, same.gained_root), (1.0, 0.0, 0.0));
    assert_eq!(same.reference, same.against);
    assert_eq!(same.extent, Extent { scored: 200, computed: 200, complete: true });
    let nll = perplexity(&reference, &passage, &mut go_on).unwrap().nll;
    let mut before = 0.0;
    for (format, bounds) in [(DType::Q8, 1e-6..1e-3), (DType::Q4, 1e-3..0.1)] {
        let found = against(&side(&backend, Some(format)));
        println!("{format}: {found:?}");
        assert_eq!(found.reference, nll);
        assert!(bounds.contains(&found.divergence.value) && found.divergence.value > before, "{format}");
        assert!((found.log_ratio.value - (found.against.value - found.reference.value)).abs() < 1e-9);
        assert!((0.8..1.0).contains(&found.same_top.value) && found.divergence_quantiles.is_sorted(), "{format}");
        before = found.divergence.value;
    }
}

#[test]
fn it_stops_when_it_is_told_to() {
    let (side, passage) = (side(&cpu(), None), windows(Cut::apart(64), ALL));
    let mut told = Vec::new();
    let found = perplexity(&side, &passage, &mut |done, total| {
        told.push((done, total));
        if done >= 128 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let found = found.unwrap();
    assert_eq!(told, [(64, 362), (128, 362)]);
    assert_eq!(found.extent, Extent { scored: 128, computed: 128, complete: false });
    assert!((found.nll.value - NLL_OF_128).abs() < 1e-3);
}

#[test]
fn what_cannot_be_scored() {
    let (side, tokenizer) = (side(&cpu(), None), tokenizer());
    let refused = |passage| match perplexity(&side, &passage, &mut go_on) {
        Err(Error::Request(what)) => what,
        other => panic!("{other:?}"),
    };
    let mut beyond = windows(Cut::apart(64), ALL);
    beyond.ids[7] = 4096;
    assert!(refused(beyond).contains("token id 4096 is not below the model's vocabulary of 4096"));
    let long = Passage::windows(&EXCERPT.repeat(12), &tokenizer, Cut::apart(4100), ALL).unwrap();
    assert!(refused(long).contains("--window 4096 at most"));
    for text in ["", "a"] {
        let refused = Passage::windows(text, &tokenizer, Cut::apart(64), ALL).unwrap_err();
        assert!(refused.to_string().contains("at least 2 are needed"), "{refused}");
    }
    let checkpoint = checkpoint("tiny-tied-text-f32");
    let model = Model::load(&cpu(), &Source::Checkpoint(&checkpoint), DType::F32, &mut |_, _| {}).unwrap();
    let other = Side { model: Arc::new(model), kv: DType::F32 };
    let refused = compare([&side, &other], &windows(Cut::apart(64), ALL), &mut go_on).unwrap_err();
    assert!(refused.to_string().contains("the vocabulary is of 4096 ids, and of 512 in the other"), "{refused}");
}

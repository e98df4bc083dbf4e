//! The vector of a text.

use std::sync::Arc;

use bimetal::{
    Backend, Error, Generator,
    low_level::{
        compute::{cpu::Cpu, dtype::DType},
        model::built_in,
    },
};

use super::{PROMPT, generator};
use crate::support::backends::backends;

/// Longer than a chunk, and than the context of the generator's texts.
fn long() -> String {
    "One day, a girl named Lily saw a big dog in the park. ".repeat(40)
}

/// The embedding matrix, which is also the head: \[V, D\].
fn head() -> Vec<f32> {
    let checkpoint = built_in::open().unwrap();
    let tensor = checkpoint.tensor("embed_tokens.weight").unwrap();
    assert_eq!(tensor.dtype, DType::Bf16);
    let value = |pair: &[u8]| half::bf16::from_le_bytes([pair[0], pair[1]]).to_f32();
    tensor.data.chunks_exact(2).map(value).collect()
}

/// The log-probability of the next token by the head's product with the embedding, beside that of a score.
fn check(name: &str, g: &Generator, head: &[f32], text: &str) {
    let hidden = g.embed(text).unwrap();
    let product = |row: &[f32]| -> f64 { row.iter().zip(&hidden).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let logits: Vec<f64> = head.chunks_exact(hidden.len()).map(product).collect();
    let most = logits.iter().fold(f64::MIN, |most, logit| most.max(*logit));
    let log_sum = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
    let whole = format!("{text} girl");
    let ids = g.text.tokenizer.encode(&whole).unwrap();
    assert_eq!(ids.len(), g.text.tokenizer.encode(text).unwrap().len() + 1, "the last word is one token");
    let wanted = *g.score(&whole).unwrap().last().unwrap();
    let found = logits[*ids.last().unwrap() as usize] - log_sum;
    assert!((found - wanted).abs() < 1e-3, "{name}: {found}, and {wanted} of score");
}

#[test]
fn the_head_makes_the_logits_of_the_next_token_of_it() {
    let head = head();
    for (name, backend) in backends() {
        check(name, &generator(&backend, 1), &head, PROMPT);
    }
}

#[test]
fn a_text_of_several_chunks_has_one() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let (g, text) = (generator(&backend, 1), long());
    assert!(g.text.tokenizer.encode(&text).unwrap().len() > backend.caps().tiles.budget as usize, "it is one chunk");
    check("cpu", &g, &head(), &text);
}

#[test]
fn open_texts_do_not_change_it() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let mut g = generator(&backend, 1);
    let before = g.embed(PROMPT).unwrap();
    let options = super::options(Vec::new());
    let alone = super::alone(&mut g, PROMPT, &options);
    let id = g.add(PROMPT, &options).unwrap();
    let early = g.step().unwrap();
    assert!(g.embed(PROMPT).unwrap() == before && g.embed(&long()).unwrap() != before);
    let mut texts = super::finish(&mut g);
    early.into_iter().rev().for_each(|event| texts.get_mut(&id).unwrap().0.insert_str(0, &event.text));
    assert_eq!(texts[&id], alone);
}

#[test]
fn a_text_of_no_tokens_or_too_many_is_refused() {
    let backend: Arc<dyn Backend> = Arc::new(Cpu::default());
    let g = generator(&backend, 1);
    for text in [String::new(), long().repeat(12)] {
        let Err(Error::Request(what)) = g.embed(&text) else { panic!("embedded") };
        assert!(what.contains("tokens has no embedding: expected 1 to 4096"), "{what}");
    }
}

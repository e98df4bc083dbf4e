//! Sampling: its rules one by one, the candidates against the whole row, and the ends of a text.

use std::path::Path;

use bimetal::{
    Error, Sampling,
    low_level::{
        engine::sampler::{CANDIDATES, Mode, Need, Sampler},
        text::stop::Stop,
    },
};
use proptest::prelude::*;

fn seeded(sampling: Sampling) -> Sampling {
    Sampling { seed: Some(7), ..sampling }
}

fn sampler(sampling: Sampling, prompt: &[u32], vocabulary: usize) -> Sampler {
    Sampler::new(sampling, prompt, vocabulary).unwrap()
}

/// The device's candidates: the largest logits in descending order, equal logits by ascending id.
fn candidates(row: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(row.iter().copied()).collect();
    all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    all.truncate(count);
    all
}

/// How often each id is sampled.
fn histogram(sampling: Sampling, row: &[f32], draws: usize) -> Vec<usize> {
    let mut sampler = sampler(seeded(sampling), &[], row.len());
    let mut counts = vec![0; row.len()];
    (0..draws).for_each(|_| counts[sampler.choose_row(row).unwrap() as usize] += 1);
    counts
}

fn drawn(sampling: Sampling, row: &[f32]) -> Vec<usize> {
    let counts = histogram(sampling, row, 3000);
    (0..row.len()).filter(|&id| counts[id] > 0).collect()
}

#[test]
fn needs_the_least_that_suffices() {
    let need = |sampling: Sampling| sampler(sampling, &[], 100).needs();
    let card = Sampling::model_card(Mode::Direct);
    assert_eq!(need(Sampling::greedy()), Need::Argmax);
    assert_eq!(need(Sampling { top_k: 1, ..Sampling::plain() }), Need::Argmax);
    assert_eq!(need(Sampling { presence_penalty: 1.0, ..Sampling::greedy() }), Need::Candidates);
    assert_eq!(need(Sampling { presence_penalty: -1.0, ..Sampling::greedy() }), Need::Row);
    assert_eq!(need(card.clone()), Need::Candidates);
    assert_eq!(need(Sampling { top_k: CANDIDATES, ..card.clone() }), Need::Candidates);
    assert_eq!(need(Sampling { top_k: CANDIDATES + 1, ..card.clone() }), Need::Row);
    assert_eq!(need(Sampling { top_k: 0, ..card.clone() }), Need::Row);
    assert_eq!(need(Sampling { repetition_penalty: 0.9, ..card.clone() }), Need::Row);
    assert_eq!(need(Sampling { frequency_penalty: -0.1, ..card }), Need::Row);
}

#[test]
fn greedy_takes_the_largest_and_of_equals_the_first() {
    let mut greedy = sampler(Sampling::greedy(), &[], 4);
    assert_eq!(greedy.choose_row(&[1.0, 3.0, 3.0, -1.0]).unwrap(), 1);
    assert_eq!(greedy.choose_row(&[-0.0, 0.0, 0.0, 0.0]).unwrap(), 0);
    assert_eq!(greedy.choose_candidates(&[(1, 3.0)]).unwrap(), Some(1));
    assert_eq!(greedy.choose_row(&[f32::NEG_INFINITY, f32::NEG_INFINITY, f32::MIN, f32::NEG_INFINITY]).unwrap(), 2);
}

#[test]
fn ids_beyond_the_vocabulary_are_never_chosen() {
    let row = [1.0, 2.0, 9.0, 9.0];
    let mut greedy = sampler(Sampling::greedy(), &[3], 2);
    assert_eq!(greedy.choose_row(&row).unwrap(), 1);
    assert_eq!(greedy.choose_candidates(&candidates(&row, 3)).unwrap(), Some(1));
    assert_eq!(greedy.choose_candidates(&candidates(&row, 2)).unwrap(), None);
    // A tokenizer may have more ids than the model has rows.
    assert_eq!(sampler(Sampling::greedy(), &[50], 100).choose_row(&row).unwrap(), 2);
}

#[test]
fn damaged_logits_are_errors() {
    for row in [[1.0, f32::NAN, 0.0], [f32::INFINITY, 0.0, 0.0], [f32::NEG_INFINITY; 3], [0.0, 0.0, f32::NAN]] {
        for sampling in [Sampling::greedy(), Sampling::model_card(Mode::Direct), Sampling::plain()] {
            let mut sampler = sampler(sampling, &[], 2);
            let whole: Vec<(u32, f32)> = (0..).zip(row).collect();
            let errors = [sampler.choose_row(&row).unwrap_err(), sampler.choose_candidates(&whole).unwrap_err()];
            for error in errors {
                assert!(matches!(&error, Error::Device { label, .. } if label == "sampling"), "{error}");
            }
        }
    }
    let error = sampler(Sampling::greedy(), &[], 2).choose_row(&[f32::NAN, 0.0]).unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
}

#[test]
fn draws_follow_the_probabilities() {
    let shares = [0.5f32, 0.25, 0.125, 0.125];
    let row = shares.map(f32::ln);
    for (counts, wanted) in histogram(Sampling::plain(), &row, 40_000).iter().zip(shares) {
        assert!((*counts as f32 / 40_000.0 - wanted).abs() < 0.01);
    }
    // At temperature 0.5 the probabilities are squared: 16:4:1:1.
    let cold = histogram(Sampling { temperature: 0.5, ..Sampling::plain() }, &row, 40_000);
    for (counts, wanted) in cold.iter().zip([16.0, 4.0, 1.0, 1.0]) {
        assert!((*counts as f32 / 40_000.0 - wanted / 22.0).abs() < 0.01);
    }
    for temperature in [f32::MIN_POSITIVE, 1e-45, 100.0] {
        assert!(histogram(Sampling { temperature, ..Sampling::plain() }, &row, 100)[0] > 0);
    }
}

#[test]
fn cuts_keep_what_they_should() {
    let row = [0.5f32, 0.25, 0.125, 0.0625, 0.0625].map(f32::ln);
    let plain = Sampling::plain;
    assert_eq!(drawn(plain(), &row), [0, 1, 2, 3, 4]);
    assert_eq!(drawn(Sampling { top_k: 2, ..plain() }, &row), [0, 1]);
    assert_eq!(drawn(Sampling { top_k: 4, ..plain() }, &row), [0, 1, 2, 3], "of equals the lower id stays");
    assert_eq!(drawn(Sampling { top_p: 0.49, ..plain() }, &row), [0]);
    assert_eq!(drawn(Sampling { top_p: 0.6, ..plain() }, &row), [0, 1]);
    assert_eq!(drawn(Sampling { top_p: 1e-9, ..plain() }, &row), [0]);
    // Top-p is a share of the tokens after top-k: 0.5 / 0.75 is two thirds.
    assert_eq!(drawn(Sampling { top_k: 2, top_p: 0.66, ..plain() }, &row), [0]);
    assert_eq!(drawn(Sampling { top_k: 2, top_p: 0.67, ..plain() }, &row), [0, 1]);
    assert_eq!(drawn(Sampling { min_p: 0.2, ..plain() }, &row), [0, 1, 2]);
    assert_eq!(drawn(Sampling { min_p: 1.0, ..plain() }, &row), [0]);
    // Temperature comes first: it flattens the distribution before min-p.
    assert_eq!(drawn(Sampling { min_p: 0.2, temperature: 2.0, ..plain() }, &row), [0, 1, 2, 3, 4]);
}

#[test]
fn top_p_over_a_whole_vocabulary_equals_a_full_sort() {
    let row: Vec<f32> = (0..5000).map(|id| ((id * 7919) % 5000) as f32 / 700.0).collect();
    let weights: Vec<f64> = candidates(&row, row.len()).iter().map(|(_, logit)| f64::from(*logit).exp()).collect();
    let total: f64 = weights.iter().sum();
    for top_p in [0.001, 0.05, 0.3, 0.9, 0.999] {
        let mut mass = 0.0;
        let fits = weights.iter().take_while(|weight| {
            let begins = mass;
            mass += **weight;
            begins < f64::from(top_p) * total
        });
        let kept: Vec<u32> = candidates(&row, fits.count()).iter().map(|(id, _)| *id).collect();
        let mut sampler = sampler(seeded(Sampling { top_p, ..Sampling::plain() }), &[], row.len());
        assert!((0..300).all(|_| kept.contains(&sampler.choose_row(&row).unwrap())));
    }
}

#[test]
fn penalties_count_what_they_should() {
    let row = [2.0, 1.9, -1.0, -1.5];
    // Presence and frequency penalties count generated tokens only, the repetition penalty also the prompt.
    let mut presence = sampler(Sampling { presence_penalty: 0.5, ..Sampling::greedy() }, &[0], 4);
    assert_eq!(presence.choose_row(&row).unwrap(), 0);
    presence.accept(0);
    assert_eq!(presence.choose_row(&row).unwrap(), 1);
    presence.accept(1);
    presence.accept(1);
    assert_eq!(presence.choose_row(&row).unwrap(), 0, "presence does not count");
    let mut frequency = sampler(Sampling { frequency_penalty: 0.5, ..Sampling::greedy() }, &[0], 4);
    [0, 1, 1].iter().for_each(|&id| frequency.accept(id));
    assert_eq!(frequency.choose_row(&row).unwrap(), 0, "frequency does");
    frequency.accept(0);
    frequency.accept(0);
    assert_eq!(frequency.choose_row(&row).unwrap(), 1);
    let mut repetition = sampler(Sampling { repetition_penalty: 1.2, ..Sampling::greedy() }, &[0], 4);
    assert_eq!(repetition.choose_row(&row).unwrap(), 1, "2 / 1.2 is below 1.9");
    let negative = [-9.0, -9.0, -1.0, -1.1];
    assert_eq!(
        sampler(Sampling { repetition_penalty: 1.2, ..Sampling::greedy() }, &[2], 4).choose_row(&negative).unwrap(),
        3
    );
}

#[test]
fn a_seed_is_a_text() {
    let row: Vec<f32> = (0..1000).map(|id| (id % 37) as f32 / 9.0).collect();
    let text = |seed: Option<u64>| -> Vec<u32> {
        let mut sampler = sampler(Sampling { seed, ..Sampling::plain() }, &[], 1000);
        (0..50).map(|_| sampler.choose_row(&row).unwrap()).collect()
    };
    assert_eq!(text(Some(1)), text(Some(1)));
    assert_ne!(text(Some(1)), text(Some(2)));
    assert_ne!(text(None), text(None));
}

#[test]
fn bad_values_are_refused_by_name() {
    let plain = Sampling::plain;
    let cases = [
        (Sampling { temperature: -0.1, ..plain() }, "temperature is -0.1, allowed is 0 to 100"),
        (Sampling { temperature: f32::NAN, ..plain() }, "temperature is NaN, allowed is 0 to 100"),
        (Sampling { top_p: 0.0, ..plain() }, "top_p is 0, allowed is above 0, at most 1"),
        (Sampling { top_p: f32::NAN, ..plain() }, "top_p is NaN, allowed is above 0, at most 1"),
        (Sampling { min_p: 1.5, ..plain() }, "min_p is 1.5, allowed is 0 to 1"),
        (Sampling { repetition_penalty: 0.0, ..plain() }, "repetition_penalty is 0, allowed is above 0, at most 10"),
        (Sampling { presence_penalty: 3.0, ..plain() }, "presence_penalty is 3, allowed is -2 to 2"),
        (Sampling { frequency_penalty: f32::INFINITY, ..plain() }, "frequency_penalty is inf, allowed is -2 to 2"),
    ];
    for (sampling, expected) in cases {
        let error = Sampler::new(sampling, &[], 10).unwrap_err();
        assert!(matches!(&error, Error::Request(what) if what == expected), "{error}");
    }
}

#[test]
fn generation_config_is_read() {
    let read = |json: &str| Sampling::from_generation_config(json.as_bytes(), Path::new("generation_config.json"));
    assert_eq!(read("{}").unwrap(), None);
    assert_eq!(read(r#"{"do_sample": true, "eos_token_id": 1, "top_k": null}"#).unwrap(), None);
    assert_eq!(read(r#"{"do_sample": false, "temperature": 0.7}"#).unwrap(), Some(Sampling::greedy()));
    let demo =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories/generation_config.json"));
    let expected = Sampling { temperature: 0.7, top_k: 40, top_p: 0.95, ..Sampling::plain() };
    assert_eq!(read(&demo.unwrap()).unwrap(), Some(expected));
    assert_eq!(read(r#"{"top_k": -1}"#).unwrap(), Some(Sampling::plain()));
    let bad = ["", "[", r#"{"top_p": "a"}"#, r#"{"top_p": 7}"#, r#"{"top_k": 1.5}"#, r#"{"temperature": 1e99}"#];
    for bad in bad.into_iter().chain([r#"{"top_k": -5}"#, r#"{"do_sample": "yes"}"#]) {
        let error = read(bad).unwrap_err().to_string();
        assert!(error.starts_with("generation_config.json: "), "{error}");
    }
}

fn lowering() -> impl Strategy<Value = Sampling> {
    let scale = prop_oneof![Just(0.0f32), Just(1.0), 0.1f32..3.0];
    let share = prop_oneof![Just(1.0f32), 0.01f32..1.0];
    // Some round values, so that a lowered logit often equals another.
    let penalties = (
        prop_oneof![Just(1.0f32), Just(2.0), 1.0f32..3.0],
        prop_oneof![Just(0.0f32), Just(0.5), 0.0f32..2.0],
        prop_oneof![Just(0.0f32), Just(0.5), 0.0f32..2.0],
    );
    (scale, 1usize..30, share, prop_oneof![Just(0.0f32), 0.0f32..1.0], penalties, any::<u64>()).prop_map(
        |(temperature, top_k, top_p, min_p, (repetition_penalty, presence_penalty, frequency_penalty), seed)| {
            Sampling {
                temperature,
                top_k,
                top_p,
                min_p,
                repetition_penalty,
                presence_penalty,
                frequency_penalty,
                seed: Some(seed),
            }
        },
    )
}

/// Rows with many equal values, zeros of both signs and masked entries.
fn rows() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let logit = prop_oneof![
        4 => (-6i32..6).prop_map(|steps| steps as f32 / 2.0),
        2 => -9.0f32..9.0,
        1 => Just(-0.0f32),
        1 => Just(f32::NEG_INFINITY),
    ];
    (3usize..120).prop_flat_map(move |width| prop::collection::vec(prop::collection::vec(logit.clone(), width), 1..12))
}

/// A candidate lowered to the last one's logit may come after a token outside the candidates: only its id decides.
#[test]
fn a_tie_with_the_last_candidate_is_no_proof() {
    let row = [0.0, 1.0, 1.0, 2.0];
    let mut greedy = sampler(Sampling { repetition_penalty: 2.0, ..Sampling::greedy() }, &[1, 3], 4);
    assert_eq!(candidates(&row, 2), [(3, 2.0), (1, 1.0)]);
    assert_eq!(greedy.choose_candidates(&candidates(&row, 2)).unwrap(), None);
    assert_eq!(greedy.choose_row(&row).unwrap(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn candidates_give_what_the_row_gives(
        sampling in lowering(),
        rows in rows(),
        prompt in prop::collection::vec(0u32..130, 0..20),
        count in 1usize..70,
        masked in 0usize..5,
    ) {
        let vocabulary = rows[0].len().saturating_sub(masked).max(1);
        let mut by_row = sampler(sampling.clone(), &prompt, vocabulary);
        let mut by_candidates = sampler(sampling, &prompt, vocabulary);
        for row in &rows {
            let Ok(expected) = by_row.choose_row(row) else {
                prop_assert!(!matches!(by_candidates.choose_candidates(&candidates(row, count)), Ok(Some(_))));
                break;
            };
            let proven = by_candidates.choose_candidates(&candidates(row, count)).unwrap();
            let chosen = proven.unwrap_or_else(|| by_candidates.choose_row(row).unwrap());
            prop_assert_eq!(chosen, expected);
            prop_assert!((chosen as usize) < vocabulary);
            by_row.accept(chosen);
            by_candidates.accept(chosen);
        }
    }

    #[test]
    fn enough_candidates_are_always_enough(sampling in lowering(), rows in rows()) {
        let mut all = sampler(sampling, &[1, 2], rows[0].len());
        if rows[0].iter().any(|logit| logit.is_finite()) {
            prop_assert!(all.choose_candidates(&candidates(&rows[0], rows[0].len())).unwrap().is_some());
        }
    }

    #[test]
    fn stop_strings_end_the_text_wherever_it_is_cut(
        text in "[abé🦀]{0,40}",
        strings in prop::collection::vec("[abé🦀]{1,5}", 0..4),
        cuts in prop::collection::vec(1usize..6, 0..40),
    ) {
        let mut stop = Stop::default();
        stop.add_strings(strings.clone()).unwrap();
        let mut matcher = stop.matcher();
        let (mut shown, mut rest, mut cuts) = (String::new(), text.chars(), cuts.into_iter());
        loop {
            let piece: String = rest.by_ref().take(cuts.next().unwrap_or(1)).collect();
            if piece.is_empty() {
                break;
            }
            shown.push_str(matcher.push(&piece));
            prop_assert!(text.starts_with(&shown));
        }
        // Of all occurrences of stop strings, the one that ends first; among those, the one that begins first.
        let places = strings.iter().filter_map(|string| text.find(string.as_str()).map(|at| (at + string.len(), at)));
        let first = places.min();
        prop_assert_eq!(matcher.stopped(), first.is_some());
        shown.push_str(matcher.finish());
        prop_assert_eq!(shown, &text[..first.map_or(text.len(), |(_, at)| at)]);
    }
}

#[test]
fn stop_strings_hold_back_no_more_than_they_must() {
    let mut stop = Stop::default();
    stop.add_strings(["\nUser:".to_owned(), "é!".to_owned()]).unwrap();
    let mut matcher = stop.matcher();
    for (piece, shown) in
        [("Hi", "Hi"), ("\n", ""), ("Us", ""), ("ual\n", "\nUsual"), ("caf", "\ncaf"), ("é", ""), ("", ""), ("é", "é")]
    {
        assert_eq!(matcher.push(piece), shown, "{piece:?}");
    }
    assert_eq!(matcher.push("!more"), "");
    assert!(matcher.stopped());
    assert_eq!(matcher.push("more"), "");
    assert_eq!(matcher.finish(), "");
}

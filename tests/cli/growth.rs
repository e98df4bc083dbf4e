//! `bench growth`: speed by context length and by number of sequences.

use serde_json::Value;

use crate::{
    run::{Outcome, run},
    support::{fixtures::fixture, scratch::Scratch},
};

/// Growth of the smallest model.
fn growth(arguments: &[&str]) -> Outcome {
    let small = fixture("tiny-tied-text-f32");
    let fixed = ["bench", "growth", "--backend", "cpu", "-r", "2", "-n", "3", "--model", small.to_str().unwrap()];
    run(&[&fixed, arguments].concat())
}

fn numbers(points: &Value, field: &str) -> Vec<f64> {
    points.as_array().unwrap().iter().map(|point| point[field].as_f64().unwrap()).collect()
}

#[test]
fn for_programs() {
    let out = growth(&["--contexts", "16,80,200", "-S", "1,3", "-d", "24", "--json"]).succeeds().out;
    let report: Value = serde_json::from_str(&out).unwrap();
    let [contexts, sequences] = ["contexts", "sequences"].map(|name| &report[name]);
    assert_eq!(numbers(contexts, "context"), [16.0, 80.0, 200.0]);
    // Earlier tokens and the 3 tokens decoded in between are not computed again.
    assert_eq!(numbers(contexts, "prompt_tokens"), [16.0, 80.0 - 16.0 - 3.0, 200.0 - 80.0 - 3.0]);
    assert_eq!(numbers(sequences, "sequences"), [1.0, 3.0]);
    assert_eq!(numbers(sequences, "prompt_tokens"), [24.0, 72.0]);
    assert_eq!(report["depth"], 24);
    for points in [contexts, sequences] {
        assert!(numbers(points, "prefill").into_iter().chain(numbers(points, "decode")).all(|rate| rate > 0.0));
    }
}

#[test]
fn for_people() {
    let scratch = Scratch::empty();
    let file = scratch.path("growth.svg");
    let flags = ["--contexts", "16,64", "-S", "1,2,4", "-d", "8", "--svg", file.to_str().unwrap()];
    let outcome = growth(&flags).succeeds();
    assert!(outcome.err.ends_with("growth.svg: a picture of it\n"), "{}", outcome.err);
    let rows: Vec<Vec<&str>> = outcome.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let first = |from: usize, to: usize| rows[from..to].iter().map(|row| row[0]).collect::<Vec<_>>();
    assert_eq!(
        [first(2, 5), first(7, 11)].concat(),
        ["context", "16", "64", "sequences", "1", "2", "4"],
        "{}",
        outcome.out
    );
    assert_eq!((rows[3][4], rows[8][4]), ("100.0", "1.00"), "{}", outcome.out);

    let picture = String::from_utf8(scratch.read("growth.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
    for text in ["tok/s", "tokens of context", "sequences", "prefill", "decode"] {
        assert!(picture.lines().any(|line| line == text), "{text}: {picture}");
    }
    // Two lines in each panel, a mark with its speed at each point, and two marks in each legend.
    assert_eq!(picture.matches("<circle ").count(), 2 * (2 + 3) + 2 * 2, "{picture}");
    let drawn: Vec<f64> = picture.lines().filter_map(|line| line.parse().ok()).collect();
    for cell in [rows[3][1], rows[3][3], rows[4][1], rows[4][3], rows[8][1], rows[10][2]] {
        let rate: f64 = cell.parse().unwrap();
        assert!(drawn.iter().any(|drawn| (drawn - rate).abs() <= 0.6), "{cell}: {picture}");
    }
}

#[test]
fn lengths_that_do_not_grow() {
    let soon = "--contexts 20 comes too soon after 16: 3 tokens are decoded between them (-n), and some more must be left to \
                measure prefill with";
    growth(&["--contexts", "16,20"]).refuses(soon);
    growth(&["--contexts", "64,16"]).refuses(&soon.replace("20 comes", "16 comes").replace("after 16", "after 64"));
    growth(&["--contexts", "5000"])
        .refuses("--contexts and -n ask for a context of 5004 tokens, and the model's has 4096; give shorter lengths");
    growth(&["--context", "100"])
        .refuses("a context of 100 tokens is too short for any of the usual; give shorter --contexts");
    growth(&["--svg", "no-such-directory/growth.svg"])
        .refuses("no-such-directory/growth.svg: No such file or directory (os error 2)");
}

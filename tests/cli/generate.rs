//! `generate`.

use crate::run::{Outcome, pipe, run};

const BEGINNING: &str = "Once upon a time";

fn generate(arguments: &[&str]) -> Outcome {
    run(&[&["generate", "--backend", "cpu"], arguments].concat()).succeeds()
}

/// The numbers of a closing line, each between the given words.
fn figures(line: &str) -> Vec<f64> {
    let words = ["", " prompt tokens, prefill ", " tok/s, first token ", " ms, ", " tokens, decode "];
    let (mut rest, mut numbers) = (line, Vec::new());
    for word in words.into_iter().skip(1).chain([" tok/s, device memory ", " MiB"]) {
        let (number, after) = rest.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {line:?}"));
        numbers.push(number.parse().unwrap());
        rest = after;
    }
    assert_eq!(rest, "");
    numbers
}

#[test]
fn a_story() {
    let Outcome { out, err, .. } = generate(&[BEGINNING, "-n", "24", "--temperature", "0"]);
    assert_eq!(
        out,
        "Once upon a time, in a small house with a red door, there lived a boy. His name was Milo. Milo liked to play\n"
    );
    let lines: Vec<_> = err.lines().collect();
    let [backend, closing] = lines[..] else { panic!("{err}") };
    assert_eq!(backend, format!("cpu: {} threads (plain loops), asked for", crate::run::threads()));
    let figures = figures(closing);
    let [prompt, prefill, first, generated, decode, memory] = figures[..] else { panic!("{closing}") };
    assert_eq!((prompt, generated), (4.0, 24.0));
    assert!(prefill > 0.0 && first > 0.0 && decode > 0.0, "{closing}");
    // 4 tokens in the time to the first; the figures are rounded.
    assert!((4.0 / first * 1e3 / prefill - 1.0).abs() < 0.2, "{closing}");
    assert!((16.0..64.0).contains(&memory), "{closing}");
}

#[test]
fn the_same_again() {
    let greedy = ["Tom had", "-n", "16", "--temperature", "0"];
    assert_eq!(generate(&greedy).out, generate(&greedy).out);
    let seeded = |seed| generate(&["Tom had", "-n", "16", "--temperature", "1", "--seed", seed]).out;
    assert_eq!(seeded("7"), seeded("7"));
    assert!(["8", "9", "10"].iter().any(|seed| seeded(seed) != seeded("7")));
}

#[test]
fn from_standard_input() {
    let arguments = [BEGINNING, "-n", "8", "--temperature", "0"];
    let want = generate(&arguments).out;
    let rest = [&["generate", "--backend", "cpu"], &arguments[1..]].concat();
    for (input, arguments) in [
        (BEGINNING.to_string(), rest.clone()),
        (format!("{BEGINNING}\n"), rest.clone()),
        (format!("{BEGINNING}\r\n"), [rest.as_slice(), &["-"]].concat()),
    ] {
        assert_eq!(pipe(&arguments, &input).succeeds().out, want);
    }
    // Only one line end belongs to the shell.
    let two = pipe(&rest, &format!("{BEGINNING}\n\n")).succeeds().out;
    assert!(two.starts_with("Once upon a time\n"), "{two:?}");
}

#[test]
fn an_empty_prompt() {
    let message = "the prompt is empty: give the beginning of a text, as an argument or on standard input";
    run(&["generate", "--backend", "cpu", ""]).refuses(message);
    run(&["generate", "--backend", "cpu"]).refuses(message);
    run(&["generate", "--backend", "cpu", "-"]).refuses(message);
    pipe(&["generate", "--backend", "cpu"], "\n").refuses(message);
}

#[test]
fn stop_strings_and_the_end_of_the_context() {
    let Outcome { out, .. } = generate(&[BEGINNING, "--temperature", "0", "--stop", " door"]);
    assert_eq!(out, "Once upon a time, in a small house with a red\n");
    let Outcome { err, .. } = generate(&[BEGINNING, "--temperature", "0", "--context", "16"]);
    assert!(err.contains(" 12 tokens, "), "{err}");
}

//! Invalid values of flags.

use std::collections::{BTreeMap, BTreeSet};

use crate::{run::run, support::scratch::Scratch};

fn generate(flags: &[&str]) -> crate::run::Outcome {
    run(&[&["generate", "--backend", "cpu", "Once"], flags].concat())
}

#[test]
fn sampling_out_of_range() {
    let greedy = "expected a number from 0 to 100; 0 always takes the most probable token";
    let cases = [
        ("--temperature <NUMBER>", "-1", greedy),
        ("--temperature <NUMBER>", "NaN", greedy),
        ("--temperature <NUMBER>", "warm", greedy),
        ("--temperature <NUMBER>", "inf", greedy),
        ("--top-p <SHARE>", "0", "expected a number above 0, at most 1; 1 keeps all tokens"),
        ("--min-p <SHARE>", "1.5", "expected a number from 0 to 1; 0 keeps all tokens"),
        ("--repetition-penalty <NUMBER>", "0", "expected a number above 0, at most 10; 1 is no penalty"),
        ("--presence-penalty <NUMBER>", "1e30", "expected a number from -2 to 2; 0 is no penalty"),
        ("--frequency-penalty <NUMBER>", "9", "expected a number from -2 to 2; 0 is no penalty"),
        ("--temperature <NUMBER>", "1e-300", "expected a number from 0 to 100; the nearest to 0 is 1.1754944e-38"),
        ("--temperature <NUMBER>", "1e-39", "expected a number from 0 to 100; the nearest to 0 is 1.1754944e-38"),
        ("--presence-penalty <NUMBER>", "1e-999", "expected a number from -2 to 2; the nearest to 0 is 1.1754944e-38"),
    ];
    for (flag, value, message) in cases {
        let name = flag.split(' ').next().unwrap();
        let message = format!("invalid value '{value}' for '{flag}': {message}");
        generate(&[name, value]).misunderstands(&message);
        run(&["chat", "--backend", "cpu", name, value]).misunderstands(&message);
    }
}

#[test]
fn numbers_out_of_range() {
    let cases = [
        ("--context <TOKENS>", "3", "expected a whole number from 16 up; leave it out for the default"),
        ("--budget <TOKENS>", "0", "expected a whole number from 65 to 65,535; leave it out for the default"),
        ("--budget <TOKENS>", "64", "expected a whole number from 65 to 65,535; leave it out for the default"),
        (
            "--memory <MIB>",
            "0",
            "expected a whole number from 1 to 1,073,741,824; leave it out for most of the device's memory",
        ),
        ("--max-tokens <TOKENS>", "0", "expected a whole number from 1 up; -1 is no limit but the context"),
        ("--max-tokens <TOKENS>", "-2", "expected a whole number from 1 up; -1 is no limit but the context"),
        ("--top-k <TOKENS>", "-1", "expected a whole number from 0 up; 0 keeps all"),
        (
            "--context <TOKENS>",
            "99999999999999999999",
            "expected a whole number from 16 to 4,294,967,295; leave it out for the default",
        ),
        ("--top-k <TOKENS>", "99999999999", "expected a whole number from 0 to 4,294,967,295; 0 keeps all"),
        (
            "--max-tokens <TOKENS>",
            "99999999999999999999",
            "expected a whole number from 1 to 9,223,372,036,854,775,807; -1 is no limit but the context",
        ),
        (
            "--seed <SEED>",
            "18446744073709551616",
            "expected a whole number from 0 to 18,446,744,073,709,551,615; -1 takes a random seed",
        ),
        ("--seed <SEED>", "-2", "expected a whole number from 0 up; -1 takes a random seed"),
    ];
    for (flag, value, message) in cases {
        let name = flag.split(' ').next().unwrap();
        generate(&[name, value]).misunderstands(&format!("invalid value '{value}' for '{flag}': {message}"));
    }
    let message = "expected a whole number from 16 up; leave it out for several lengths";
    run(&["info", "--context", "0"]).misunderstands(&format!("invalid value '0' for '--context <TOKENS>': {message}"));
}

/// A letter that means one thing in one command and another in the next is a trap.
#[test]
fn a_letter_means_the_same_in_all_commands() {
    let mut meanings = BTreeMap::<String, BTreeSet<String>>::new();
    let commands: [&[&str]; 9] = [
        &["generate"],
        &["chat"],
        &["info"],
        &["quantize"],
        &["perplexity"],
        &["compare"],
        &["bench"],
        &["bench", "kernel"],
        &["bench", "growth"],
    ];
    for command in commands {
        let help = run(&[command, &["-h"]].concat()).succeeds().out;
        for line in help.lines().filter_map(|line| line.trim().strip_prefix('-')) {
            if let Some((letter, long)) = line.split_once(", --") {
                let long = long.split([' ', ',']).next().unwrap();
                meanings.entry(letter.into()).or_default().insert(long.into());
            }
        }
    }
    // Bytes of a text, and tokens to make of it, by the words of each command.
    let kin = [("f", ["file", "text"]), ("n", ["max-tokens", "decode"])];
    for (letter, flags) in &meanings {
        let related = kin.iter().find(|(known, _)| known == letter);
        let is_one =
            flags.len() == 1 || related.is_some_and(|(_, kin)| flags.iter().all(|flag| kin.contains(&&**flag)));
        assert!(is_one, "-{letter} means {flags:?}");
    }
    assert!(meanings.len() > 8, "{meanings:?}");
}

#[test]
fn names_that_are_none() {
    generate(&["--kv", "f8"]).misunderstands("invalid value 'f8' for '--kv <KV>'\n  [possible values: f16, f32, q8]");
    run(&["info", "--kv", "q4"])
        .misunderstands("invalid value 'q4' for '--kv <KV>'\n  [possible values: f16, f32, q8]");
    generate(&["--inputs", "q4"])
        .misunderstands("invalid value 'q4' for '--inputs <INPUTS>'\n  [possible values: f16, f32]");
    for flag in ["--stop <TEXT>", "--model <DIR|GGUF|OWNER/NAME>", "--device <NAME>"] {
        let name = flag.split_once(' ').unwrap().0;
        generate(&[&format!("{name}=")])
            .misunderstands(&format!("a value is required for '{flag}' but none was supplied"));
    }
}

#[test]
fn a_prompt_that_is_too_long() {
    let long = "Once upon a time there was a small dog who liked to play in the park with his friends.";
    run(&["generate", "--backend", "cpu", "--context", "16", long]).refuses(
        "the prompt has 20 tokens, and the context of 16 leaves no room for an answer; shorten it or raise --context",
    );
}

#[test]
fn a_context_that_is_too_long() {
    let message = "a context of 4097 tokens is longer than the model was made for: --context 4096 at most";
    generate(&["--context", "4097"]).refuses(message);
    run(&["info", "--context", "4097"]).refuses(message);
}

#[test]
fn a_context_that_does_not_fit() {
    generate(&["--memory", "20"]).refuses(
        "a context of 4096 tokens needs 6 MiB of cache, and 0 MiB are free; no context fits: use a smaller model or a \
         device with more memory (weights and programs take 28 MiB; --memory and --budget change what is left)",
    );
    generate(&["--memory", "31"]).refuses(
        "a context of 4096 tokens needs 6 MiB of cache, and 3 MiB are free; a context of 2048 tokens fits: --context \
         2048 (weights and programs take 28 MiB; --memory and --budget change what is left)",
    );
    generate(&["--memory", "31", "--context", "2048", "-n", "1"]).succeeds();
}

#[test]
fn manual_pages_tell_their_directory_and_have_examples() {
    let directory = Scratch::empty();
    let place = directory.path("man");
    let outcome = run(&["man", "--out", place.to_str().unwrap()]).succeeds();
    let pages = std::fs::read_dir(&place).unwrap().count();
    assert_eq!(outcome.err, format!("{pages} manual pages are in the directory {}\n", place.display()));
    let page = std::fs::read_to_string(place.join("bimetal-chat.1")).unwrap();
    assert!(pages > 10 && page.contains("\n.SH EXAMPLES\n") && !page.contains("SH EXTRA"), "{page}");
    assert!(run(&["man"]).succeeds().out.contains("\n.SH EXAMPLES\n"));
}

#[test]
fn numbers_are_told_as_typed() {
    let told = |flags: &[&str]| generate(&[&["-n", "1"], flags].concat()).succeeds().err;
    let err = told(&["-t", "1e-30"]);
    assert!(err.contains("\ntemperature 1e-30, "), "{err}");
    let err = told(&["-t", "-0", "--min-p", "-0"]);
    assert!(err.contains("\ntemperature 0, ") && !err.contains("-0"), "{err}");
}

#[test]
fn the_last_one_of_a_flag_counts() {
    let last = generate(&["-t", "0.5", "-n", "4", "--backend", "cpu", "--n-predict", "1", "--no-echo", "--no-echo"])
        .succeeds();
    assert!(last.err.contains("temperature 0.5, ") && last.err.contains("max-tokens 1,"), "{}", last.err);
    // Those that collect keep all.
    let report = generate(&["-t", "0", "-t", "1", "-n", "1", "--stop", "a", "--stop", "b", "--json"]).succeeds();
    let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["settings"]["stop"], serde_json::json!(["a", "b"]));
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf8_is_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let cases: [(&[&[u8]], &str); 3] = [
        (&[b"ab\xff"], "error: the argument \"ab\\xFF\" is not UTF-8\n\nUsage: bimetal generate [OPTIONS] [PROMPT]\n"),
        (&[b"--stop", b"\xff"], "error: the argument \"\\xFF\" after --stop is not UTF-8\n"),
        // A path may have any bytes.
        (&[b"-m", b"\xfe", b"--stop=\xff"], "error: the argument \"--stop=\\xFF\" is not UTF-8\n"),
    ];
    for (arguments, message) in cases {
        let arguments = arguments.iter().map(|argument| OsStr::from_bytes(argument));
        let outcome = crate::run::finish(crate::run::command(&["generate"]).args(arguments));
        assert!(outcome.code == Some(2) && outcome.err.starts_with(message), "{}", outcome.err);
    }
}

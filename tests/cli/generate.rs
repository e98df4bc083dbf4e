//! `generate`.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    run::{Outcome, command, pipe, run},
    support::scratch::Scratch,
};

const BEGINNING: &str = "Once upon a time";

fn generate(arguments: &[&str]) -> Outcome {
    run(&[&["generate", "--backend", "cpu"], arguments].concat()).succeeds()
}

/// The numbers of a closing line, each between the given words.
fn figures(line: &str) -> Vec<f64> {
    let words = ["", " prompt tokens, prefill ", " tok/s, first token ", " ms, ", " tokens, decode "];
    let mut numbers = Vec::new();
    let (figures, end) = line.split_once("; ").unwrap();
    assert!(end.starts_with("ended by ") && end.contains(", seed "), "{line}");
    let mut rest = figures;
    let last = [" tok/s, device memory ", " MiB"];
    for word in words.into_iter().skip(1).chain(last) {
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
    let [backend, settings, closing] = lines[..] else { panic!("{err}") };
    assert_eq!(settings, "temperature 0, max-tokens 24, context 4,096");
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
fn one_token_has_no_decode_speed() {
    let line = generate(&[BEGINNING, "-n", "1"]).err;
    assert!(line.contains(" ms, 1 token, device memory ") && !line.contains("decode"), "{line}");
    let json: Value = serde_json::from_str(&generate(&[BEGINNING, "-n", "1", "--json"]).out).unwrap();
    assert_eq!(json["timings"]["decode_tokens_per_second"], Value::Null);
}

#[cfg(unix)]
#[test]
fn what_is_no_prompt_is_refused() {
    for (file, why) in [
        ("/", "it is a directory; give a file of text"),
        ("/dev/zero", "it is longer than 64.0 MiB, which fits no context"),
    ] {
        run(&["generate", "-b", "cpu", "-f", file]).refuses(&format!("{file}: {why}"));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_text_is_closed() {
    for json in [&[][..], &["--json"]] {
        let arguments =
            [&["generate", "-b", "cpu", "-n", "-1", BEGINNING, "--stop", "never in a story"], json].concat();
        let mut program = command(&arguments);
        let program = program.env("RUST_LOG", "bimetal=debug").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // The last that is told before the first token.
        lines.find(|line| line.as_ref().unwrap().contains(" weights in ")).unwrap().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), lines.last());
        assert_eq!(output.status.code(), Some(130), "{out} {err:?}");
        if json.is_empty() {
            assert!(out.ends_with('\n') && err.unwrap().unwrap().contains("; interrupted, seed "), "{out}");
        } else {
            let json: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(json["stop_reason"], "interrupted");
        }
    }
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

#[test]
fn the_closing_line_says_why_the_text_ended() {
    let closing = |flags: &[&str]| {
        let outcome = generate(&[&[BEGINNING, "-s", "5"], flags].concat());
        outcome.err.lines().last().unwrap().to_owned()
    };
    for (flags, end) in [
        (&["-n", "1"] as &[&str], " ms, 1 token, device memory 32 MiB; ended by -n 1, seed 5"),
        (&["-t", "0", "--stop", " door"], "; ended by --stop \" door\", seed 5"),
        (&["--context", "16"], "; ended by the context of 16 tokens, seed 5"),
        (&["-t", "0"], "; ended by the model's <|endoftext|>, seed 5"),
    ] {
        let line = closing(flags);
        assert!(line.ends_with(end), "{line}");
    }
    let line = generate(&["Once", "-n", "1"]).err;
    assert!(line.contains("\n1 prompt token, ") && line.contains(" ms, 1 token, "), "{line}");
    // The seed that is told gives the same text again.
    let first = generate(&[BEGINNING, "-n", "12"]);
    let seed = first.err.trim_end().rsplit(' ').next().unwrap();
    assert_eq!(generate(&[BEGINNING, "-n", "12", "-s", seed]).out, first.out);
}

#[test]
fn json_holds_the_text_and_how_it_came_about() {
    let greedy = ["-t", "0", "--stop", " door", "--json"];
    let outcome = generate(&[&[BEGINNING], greedy.as_slice()].concat());
    let json: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!((&json["prompt"], &json["text"]), (&BEGINNING.into(), &", in a small house with a red".into()));
    assert_eq!((&json["stop_reason"], &json["stop"]), (&"stop_string".into(), &" door".into()));
    assert_eq!(json["prompt_ids"].as_array().unwrap().len(), 4);
    assert_eq!(json["ids"].as_array().unwrap().len() as u64, json["timings"]["tokens"].as_u64().unwrap());
    let settings = &json["settings"];
    assert_eq!((&settings["temperature"], &settings["context"]), (&0.0.into(), &4096.into()));
    assert!(settings["max_tokens"].is_null() && json["seed"].is_u64(), "{json}");
    let json: Value = serde_json::from_str(&generate(&["Once", "-n", "2", "--top-p", "0.9", "--json"]).out).unwrap();
    assert_eq!((&json["settings"]["top_p"], &json["stop_reason"]), (&0.9.into(), &"max_tokens".into()));
}

#[test]
fn what_is_written_beside_the_new_text() {
    let greedy = ["-n", "8", "-t", "0"];
    let whole = generate(&[&[BEGINNING], greedy.as_slice()].concat()).out;
    let quiet = generate(&[&[BEGINNING, "-q", "--no-echo"], greedy.as_slice()].concat());
    assert_eq!((format!("{BEGINNING}{}", quiet.out), quiet.err.as_str()), (whole.clone(), ""));
    let dim = generate(&[&[BEGINNING, "--color", "always"], greedy.as_slice()].concat()).err;
    assert!(dim.contains("\n\x1b[2mtemperature 0, ") && dim.ends_with("\x1b[0m\n"), "{dim:?}");
    let directory = Scratch::empty();
    directory.write("prompt.txt", format!("\u{feff}{BEGINNING}\r\n"));
    let file = directory.path("prompt.txt");
    assert_eq!(generate(&[&["-f", file.to_str().unwrap()], greedy.as_slice()].concat()).out, whole);
    // The question of a chat is no part of the answer.
    let answer = generate(&[&["--chat", "Tell me a story."], greedy.as_slice()].concat()).out;
    let chat = pipe(&[&["chat", "--backend", "cpu"], greedy.as_slice()].concat(), "Tell me a story.\n").succeeds();
    assert_eq!(answer, chat.out);
}

//! `bench growth`: speed by context length and by number of sequences.

use serde_json::{Value, json};

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
    // Each context is a whole prompt: the speed of a short rest of one would be a hole in the curve.
    assert_eq!(numbers(contexts, "prompt_tokens"), [16.0, 80.0, 200.0]);
    assert_eq!(numbers(sequences, "sequences"), [1.0, 3.0]);
    assert_eq!(numbers(sequences, "prompt_tokens"), [24.0, 72.0]);
    assert_eq!(report["depth"], 24);
    for points in [contexts, sequences] {
        assert!(numbers(points, "prefill").into_iter().chain(numbers(points, "decode")).all(|rate| rate > 0.0));
    }
}

/// The texts of a picture.
fn texts(picture: &str) -> Vec<&str> {
    picture.lines().filter(|line| !line.starts_with('<')).collect()
}

#[test]
fn for_people() {
    let scratch = Scratch::empty();
    let file = scratch.path("growth.svg");
    let flags = ["--contexts", "16,64", "-S", "1,2,4", "-d", "8", "--svg", file.to_str().unwrap()];
    let outcome = growth(&flags).succeeds();
    assert!(outcome.err.ends_with("growth.svg: a picture of it\n"), "{}", outcome.err);
    let rows: Vec<Vec<&str>> = outcome.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let first: Vec<_> = rows.iter().filter_map(|row| row.first().copied()).collect();
    let want = ["prefill", "context", "16", "64", "after", "prefill", "sequences", "1", "2", "4"];
    assert_eq!(first[first.len() - want.len()..], want, "{}", outcome.out);
    let row = |first: &str, after: &str| {
        let begin = rows.iter().position(|row| row.first() == Some(&after)).unwrap();
        rows[begin..].iter().find(|row| row.first() == Some(&first)).unwrap()
    };
    assert_eq!((row("16", "context")[4], row("1", "sequences")[4]), ("100.0", "1.00"), "{}", outcome.out);
    assert!(outcome.out.contains("median of 2 runs, 3 tokens decoded\n"), "{}", outcome.out);
}

#[test]
fn a_picture_of_an_earlier_run() {
    let scratch = Scratch::empty();
    let (json, svg) = (scratch.path("growth.json"), scratch.path("growth.svg"));
    let [json, svg] = [&json, &svg].map(|path| path.to_str().unwrap());
    let speeds = |name: &str, at: [u32; 4]| {
        let point =
            |at: u32| json!({ name: at, "prompt_tokens": at, "prefill": 10_000.0 + f64::from(at), "decode": 900.0 });
        at.map(point).to_vec()
    };
    let report = json!({
        "version": "7.8.9", "backend": "wgpu", "device": "A card", "driver": "its driver", "model": "0.8b",
        "random_weights": true, "quant": "q4", "inputs": "f16", "kv": "q8", "budget": 2048, "repeat": 3,
        "decode_tokens": 64, "depth": 1024, "contexts": speeds("context", [128, 256, 4096, 65_536]),
        "sequences": speeds("sequences", [1, 2, 4, 16]),
    });
    scratch.write("growth.json", report.to_string());
    let from = ["bench", "growth", "--from", json];
    let out = run(&[&from[..], &["--svg", svg]].concat()).succeeds().out;
    let settings = "weights in q4, products of f16, keys and values in q8, 2,048 tokens a step; median of 3 runs, 64 tokens decoded";
    assert!(out.replace('\n', " ").contains(settings), "{out}");
    assert_eq!(serde_json::from_str::<Value>(&run(&[&from[..], &["--json"]].concat()).succeeds().out).unwrap(), report);

    let picture = String::from_utf8(scratch.read("growth.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "{picture}");
    // Its own background: a page may be dark.
    let background = picture.lines().nth(1).unwrap();
    assert!(
        background.starts_with("<rect x=\"0\" y=\"0\" width=\"1200\"") && background.contains("#FFFFFF"),
        "{background}"
    );
    let texts = texts(&picture);
    let titles = [
        "Speed by context length and by number of sequences",
        "bimetal 7.8.9, A card (wgpu), the shape of Qwen3.5-0.8B with random weights",
        settings,
        "Prefill of one prompt",
        "Decode of one sequence",
        "Prefill of several prompts of 1,024 tokens",
        "Decode of several sequences together, each after 1,024 tokens",
        "tokens of the prompt",
        "tokens of context before it",
    ];
    for title in titles {
        assert_eq!(texts.iter().filter(|text| **text == title).count(), 1, "{title}: {texts:?}");
    }
    let count = |wanted: &str| texts.iter().filter(|text| **text == wanted).count();
    // Axis titles; a label below each point; axes that begin at zero, with several labels.
    assert_eq!((count("tokens/s"), count("sequences"), count("0")), (4, 2, 4), "{texts:?}");
    for tick in ["128", "256", "4,096", "65,536", "1", "2", "4", "16"] {
        assert_eq!(count(tick), 2, "{tick}: {texts:?}");
    }
    for tick in ["200", "400", "600", "800", "1,000"] {
        assert!(count(tick) >= 2, "{tick}: {texts:?}");
    }
    // A mark with its speed at each point of each panel.
    assert_eq!((picture.matches("<circle ").count(), count("75,536"), count("900")), (16, 1, 8), "{texts:?}");
}

#[test]
fn files_that_hold_no_earlier_run() {
    let scratch = Scratch::empty();
    scratch.write("other.json", r#"{"version": "1"}"#);
    scratch.write("none.json", r#"{"version":"","backend":"","device":"","driver":"","model":"","random_weights":false,
        "quant":"none","inputs":"","kv":"","budget":1,"repeat":1,"decode_tokens":1,"depth":1,"contexts":[],"sequences":[]}"#);
    let from = |name: &str| run(&["bench", "growth", "--from", scratch.path(name).to_str().unwrap()]);
    let named = |name: &str| scratch.path(name).display().to_string();
    from("other.json").refuses(&format!(
        "{}: expected what `bench growth --json` prints: missing field `backend` at line 1 column 16",
        named("other.json")
    ));
    from("none.json")
        .refuses(&format!("{}: expected speeds above zero, by context and by number of sequences", named("none.json")));
    from("absent.json").refuses(&format!("{}: No such file or directory (os error 2)", named("absent.json")));
    run(&["bench", "growth", "--from", "x.json", "-r", "2"])
        .misunderstands("the argument '--from <FILE>' cannot be used with '--repeat <REPEAT>'");
}

#[test]
fn contexts_that_do_not_fit() {
    growth(&["--contexts", "5000"])
        .refuses("--contexts and -n ask for a context of 5004 tokens, and the model's has 4096; give shorter lengths");
    growth(&["--context", "100"])
        .refuses("a context of 100 tokens is too short for any of the usual; give shorter --contexts");
    growth(&["--svg", "no-such-directory/growth.svg"])
        .refuses("no-such-directory/growth.svg: No such file or directory (os error 2)");
}

//! Output without computation: a checkpoint's sizes, completions, help.

use serde_json::{Value, json};

use crate::run::{checkpoint, run};

#[test]
fn the_built_in_model() {
    let outcome = run(&["info"]).succeeds();
    assert_eq!(outcome.err, "");
    let lines: Vec<_> = outcome.out.lines().collect();
    assert_eq!(lines[0], "tiny-stories, the built-in model: 7.9 M parameters");
    for want in ["layers         8: 2 of gated attention, 6 of gated DeltaNet", "context        4,096 tokens"] {
        assert!(lines.contains(&want), "{want}: {}", outcome.out);
    }
}

#[test]
fn json_for_programs() {
    let scratch = checkpoint();
    let outcome = run(&["info", "--json", "--context", "1024", "--model", scratch.0.to_str().unwrap()]).succeeds();
    let info: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!((&info["parameters"], &info["bytes"]), (&json!(250_312), &json!({"f32": 1_001_248})));
    assert_eq!((&info["hidden"], &info["vocabulary"], &info["tied"]), (&json!(64), &json!(512), &json!(true)));
    assert_eq!(info["layers"][3], "full");
    assert_eq!(info["memory"][0]["context"], 1024);
    let half = info["memory"][0]["cache_bytes"].as_u64().unwrap();
    let whole = run(&["info", "--json", "-c", "1024", "--kv", "f32", "--model", scratch.0.to_str().unwrap()]);
    let whole: Value = serde_json::from_str(&whole.succeeds().out).unwrap();
    assert!(whole["memory"][0]["cache_bytes"].as_u64().unwrap() > half);
    let bytes = run(&["info", "--json", "-c", "1024", "--kv", "q8", "--model", scratch.0.to_str().unwrap()]);
    let bytes: Value = serde_json::from_str(&bytes.succeeds().out).unwrap();
    let saved = half - bytes["memory"][0]["cache_bytes"].as_u64().unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(scratch.0.join("config.json")).unwrap()).unwrap();
    let [heads, width] = ["num_key_value_heads", "head_dim"].map(|name| config[name].as_u64().unwrap());
    // One byte less per element and four more per head, for keys and for values.
    assert_eq!(saved, 2 * 1024 * heads * (width - 4));
}

#[test]
fn a_published_size_without_its_weights() {
    let out = run(&["info", "--shape", "27b"]).succeeds().out;
    for want in ["27b: 26.9 B parameters", "bf16       50.1 GiB", "embedding     1,271,398,400"] {
        assert!(out.contains(want), "{want}: {out}");
    }
    let (_, fit) = out.split_once("\nthis device    ").unwrap();
    assert!(fit.contains(" usable\n"), "{out}");
    assert!(["\nfits           yes, ", "\nfits           no: "].iter().any(|begin| fit.contains(begin)), "{out}");
    let json: Value = serde_json::from_str(&run(&["info", "--shape", "0.8b", "--json"]).succeeds().out).unwrap();
    assert!(json["device"]["fits"].is_boolean() && json["device"]["max_context"].is_u64(), "{json}");
}

#[test]
fn completions() {
    for (shell, mark) in
        [("bash", "complete -F _bimetal"), ("zsh", "#compdef bimetal"), ("fish", "complete -c bimetal")]
    {
        let script = run(&["completions", shell]).succeeds().out;
        for word in [mark, "generate", "--shape", "0.8b", "--no-think"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run(&["completions", "tcsh"])
        .misunderstands("invalid value 'tcsh' for '<SHELL>'\n  [possible values: bash, elvish, fish, powershell, zsh]");
}

#[test]
fn help_and_version() {
    let version = run(&["--version"]).succeeds().out;
    assert_eq!(version, format!("bimetal {}\n", env!("CARGO_PKG_VERSION")));
    for command in
        ["generate", "chat", "pull", "ls", "rm", "devices", "info", "perplexity", "compare", "bench", "completions"]
    {
        assert!(run(&["--help"]).succeeds().out.contains(command));
        assert!(run(&[command, "--help"]).succeeds().out.contains("Usage: bimetal"), "{command}");
    }
    run(&["genrate"]).misunderstands("unrecognized subcommand 'genrate'");
}

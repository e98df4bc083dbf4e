//! A GGUF file in every place where a directory works.

use std::fs;

use crate::{
    run::{pipe, run},
    support::{fixtures::fixture, scratch::Scratch},
};

fn mixed() -> String {
    fixture("gguf/mixed.gguf").to_str().unwrap().to_owned()
}

#[test]
fn a_file_for_a_model() {
    let file = mixed();
    let info = run(&["info", "--json", "-m", &file]).succeeds().out;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let types: Vec<_> = info["bytes"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(types, ["f32", "f16", "bf16", "q8", "q4_0", "q4_K", "q5_K", "q6_K"]);
    assert!(run(&["info", "-m", &file]).succeeds().out.contains("not loaded     multi-token prediction: 3 tensors"));
    let generate = |more: &[&str]| {
        let fixed = ["generate", "Once upon", "-m", &file, "-n", "8", "--temperature", "0", "--backend", "cpu"];
        run(&[fixed.as_slice(), more].concat()).succeeds().out
    };
    assert!(generate(&[]).starts_with("Once upon") && generate(&[]) == generate(&["--kv", "f32", "--inputs", "f32"]));
    let chat = pipe(&["chat", "-m", &file, "--backend", "cpu", "-n", "4", "--temperature", "0"], "Hello\nAgain\n");
    let chat = chat.succeeds();
    assert!(chat.err.contains("\n2 answers: "), "{}", chat.err);
}

#[test]
fn what_a_file_cannot_do() {
    let (file, out) = (mixed(), Scratch::empty());
    let again = run(&["generate", "a", "-m", &file, "--quant", "q8", "--backend", "cpu"]);
    again.refuses(&format!("{file}: its weights are q5_K already; q8 needs the original checkpoint"));
    let why = "a GGUF file; what is written needs the files beside the weights; give the directory of a safetensors checkpoint";
    let written = run(&["quantize", &file, out.path("q8").to_str().unwrap(), "--format", "q8"]);
    written.refuses(&format!("{file}: {why}"));
    assert!(!fs::exists(out.path("q8")).unwrap(), "a refusal leaves nothing");
    // It has no tokenizer.
    let file = fixture("gguf/fast-decay-f16.gguf").to_str().unwrap().to_owned();
    run(&["generate", "a", "-m", &file, "--backend", "cpu"])
        .refuses(&format!("{file}: key tokenizer.ggml.model is missing"));
    let cut = out.path("cut.gguf");
    fs::write(&cut, &fs::read(mixed()).unwrap()[..20_000]).unwrap();
    let cut = cut.to_str().unwrap();
    let refused = run(&["info", "-m", cut]);
    assert!(refused.err.starts_with(&format!("error: {cut}: tensor ")) && refused.code == Some(1), "{}", refused.err);
    assert!(refused.err.trim_end().ends_with("the file is cut off, fetch it again"), "{}", refused.err);
}

/// The model card's penalties do not change what temperature 0 chooses; those of a flag do.
#[test]
fn temperature_0_takes_the_likeliest_token() {
    let file = mixed();
    let generate = |more: &[&str]| {
        let fixed = ["generate", "Once upon", "-m", &file, "-n", "40", "--temperature", "0", "--backend", "cpu"];
        run(&[fixed.as_slice(), more].concat()).succeeds().out
    };
    let greedy = generate(&["--presence-penalty", "0"]);
    assert_eq!(generate(&[]), greedy);
    assert_ne!(generate(&["--presence-penalty", "2"]), greedy, "a penalty must matter for this text");
}

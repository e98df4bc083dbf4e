//! `quantize` and `--quant`.

use std::fs;

use crate::{
    run::{checkpoint, run},
    support::scratch::Scratch,
};

#[test]
fn what_is_written_says_what_the_original_says_quantized() {
    let (original, out) = (checkpoint(), Scratch::empty());
    let from = original.0.to_str().unwrap();
    for format in ["q8", "q4"] {
        let to = out.path(format);
        let to = to.to_str().unwrap();
        let told = run(&["quantize", from, to, "--format", format]).succeeds();
        assert!(told.err.contains(format), "{}", told.err);
        let generate = |more: &[&str]| {
            let told = run(&[&["generate", "a", "-n", "8", "--temperature", "0", "--backend", "cpu"], more].concat());
            told.succeeds().out
        };
        assert_eq!(generate(&["-m", to]), generate(&["-m", from, "--quant", format]));
        assert_eq!(generate(&["-m", to]), generate(&["-m", to, "--quant", format]));
        let info = run(&["info", "--json", "-m", to]).succeeds().out;
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert!(info["bytes"][format].as_u64().unwrap() > 0, "{info}");
        run(&["quantize", from, to, "--format", format])
            .refuses(&format!("{to}/model.safetensors is there already; give another directory"));
    }
    // Other weights would win over the new ones; other files are replaced on request.
    let sharded = Scratch::empty();
    sharded.write("model-00001-of-00002.safetensors", "");
    let shard = sharded.path("model-00001-of-00002.safetensors");
    for more in [&[][..], &["--force"]] {
        run(&[&["quantize", from, sharded.0.to_str().unwrap(), "--format", "q4"], more].concat())
            .refuses(&format!("{} is there already; give another directory", shard.display()));
    }
    assert_eq!(fs::read_dir(&sharded.0).unwrap().count(), 1, "nothing was written");
    let noted = Scratch::empty();
    noted.write("config.json", "{}");
    let to = noted.0.to_str().unwrap();
    run(&["quantize", from, to, "--format", "q4"]).refuses(&format!(
        "{to} holds other files, such as config.json; give another directory, or --force to replace files of the same names"
    ));
    assert_eq!(fs::read_to_string(noted.path("config.json")).unwrap(), "{}");
    let told = run(&["quantize", from, to, "--format", "q4", "--force"]).succeeds().err;
    assert!(told.contains(" %), in ") && told.contains(&format!("next: bimetal chat -m {to}")), "{told}");
    let q4 = out.path("q4");
    let q4 = q4.to_str().unwrap();
    let why = format!("{q4}: its weights are q4 already; q8 needs the original checkpoint");
    run(&["generate", "a", "-m", q4, "--quant", "q8"]).refuses(&why);
    run(&["quantize", q4, out.path("again").to_str().unwrap(), "--format", "q8"]).refuses(&why);
    assert!(!fs::exists(out.path("again")).unwrap(), "a refusal leaves nothing");
}

#[test]
fn unknown_formats_are_refused() {
    for arguments in [&["quantize", "in", "out", "--format", "q5"][..], &["generate", "a", "--quant", "q5"]] {
        let outcome = run(arguments);
        assert_eq!(outcome.code, Some(2), "{}", outcome.err);
        assert!(outcome.err.contains("q5") && outcome.err.contains("q8"), "{}", outcome.err);
    }
}

#[test]
fn a_plan_counts_what_quantized_weights_take() {
    let weights = |quant: &str| {
        let plan = run(&["bench", "--plan", "--json", "--shape", "0.8b", "--quant", quant]).succeeds().out;
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        plan["steps"][0]["total"]["weight_bytes"].as_f64().unwrap()
    };
    let [none, q8, q4] = ["none", "q8", "q4"].map(weights);
    assert!((q8 / none - 8.5 / 16.0).abs() < 2e-3 && (q4 / none - 4.5625 / 16.0).abs() < 2e-3, "{none} {q8} {q4}");
}

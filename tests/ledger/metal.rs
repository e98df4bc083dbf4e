//! What steps of the 0.8B shape cost on an Apple GPU, where each launch and each wait is dearer than most of what they do.

use std::process::Command;

use bimetal::{backend::Caps, chips};
use serde_json::Value;

use crate::{HEAD, PRODUCTS, WEIGHTS, rehearsal, sum};

#[test]
fn a_decoded_token_is_one_submission_of_few_launches_and_one_wait() {
    for depth in [1, 1000, 30_000] {
        let ledger = rehearsal(Caps::apple(), "0.8b", 1, 32_768).decode(1, depth).unwrap();
        assert_eq!([ledger.submissions, ledger.waits], [1, 1], "the token is read, and nothing else is waited for");
        let launches = ledger.total().launches;
        assert!(launches <= 150, "{launches} launches at depth {depth}");
        assert_eq!(sum(&ledger).weights, WEIGHTS + 2 * 1024, "each once, and a row of the embedding");
    }
}

#[test]
fn several_sequences_are_still_one_submission() {
    let ledger = rehearsal(Caps::apple(), "0.8b", 8, 1024).decode(8, 300).unwrap();
    assert_eq!([ledger.submissions, ledger.waits], [1, 1]);
    assert!(ledger.total().launches <= 150);
    assert_eq!(sum(&ledger).weights, WEIGHTS + 8 * 2 * 1024);
}

#[test]
fn a_chunk_of_a_prompt_takes_few_launches_and_the_head_for_its_last_row() {
    for depth in [0, 1000] {
        let ledger = rehearsal(Caps::apple(), "0.8b", 1, 2048).prefill(512, depth).unwrap();
        let launches = ledger.total().launches;
        assert!(launches <= 260, "{launches} launches");
        assert_eq!([ledger.submissions, ledger.waits], [1, 1]);
        let attention = 2 * 2 * (512 * u64::from(depth) + 512 * 513 / 2) * 6 * 8 * 256;
        assert_eq!(sum(&ledger).flops.matrix, 2 * (512 * PRODUCTS + HEAD) + attention, "the head once");
    }
}

#[test]
fn the_plan_for_metal_is_about_apples_chips() {
    let arguments = ["bench", "--plan", "--backend", "metal", "--shape", "0.8b", "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_bimetal")).args(arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["backend"], "metal");
    let apple = chips::all().iter().filter(|chip| chip.name.starts_with("Apple")).count();
    for step in report["steps"].as_array().unwrap() {
        let floors = step["floors"].as_array().unwrap();
        assert_eq!(floors.len(), apple);
        assert!(floors.iter().all(|floor| floor["chip"].as_str().unwrap().starts_with("Apple")), "{floors:?}");
        let launches: Vec<_> = step["kernels"].as_array().unwrap().iter().map(|kernel| &kernel["kernel"]).collect();
        let prompt = step["step"].as_str().unwrap().starts_with("prompt");
        assert_eq!(launches.iter().any(|name| *name == "matmul_mma"), prompt, "matrix units: {launches:?}");
    }
}

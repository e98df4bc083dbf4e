//! The costs of the 0.8B shape's steps on an Apple GPU, where a dispatch or a wait costs more than most of the work.

use std::process::Command;

use bimetal::{
    low_level::compute::caps::Caps,
    measure::{chips, cost_table::CostTable},
};
use serde_json::Value;

use super::{HEAD, PRODUCTS, WEIGHTS, dry_engine, sum};

#[test]
fn a_decoded_token_is_one_submission_of_few_dispatches_and_one_wait() {
    for depth in [1, 1000, 30_000] {
        let cost_table = CostTable::of(&dry_engine(Caps::apple(), "0.8b", 1, 32_768).decode(1, depth).unwrap());
        assert_eq!(
            [cost_table.submissions, cost_table.waits],
            [1, 1],
            "the token is read, and nothing else is waited for"
        );
        let dispatches = cost_table.total().dispatches;
        assert!(dispatches <= 150, "{dispatches} dispatches at depth {depth}");
        assert_eq!(sum(&cost_table).weights, WEIGHTS + 2 * 1024, "each once, and a row of the embedding");
    }
}

#[test]
fn several_sequences_are_still_one_submission() {
    let cost_table = CostTable::of(&dry_engine(Caps::apple(), "0.8b", 8, 1024).decode(8, 300).unwrap());
    assert_eq!([cost_table.submissions, cost_table.waits], [1, 1]);
    assert!(cost_table.total().dispatches <= 150);
    assert_eq!(sum(&cost_table).weights, WEIGHTS + 8 * 2 * 1024);
}

#[test]
fn a_chunk_of_a_prompt_takes_few_dispatches_and_the_head_for_its_last_row() {
    for depth in [0, 1000] {
        let cost_table = CostTable::of(&dry_engine(Caps::apple(), "0.8b", 1, 2048).prefill(512, depth).unwrap());
        let dispatches = cost_table.total().dispatches;
        assert!(dispatches <= 260, "{dispatches} dispatches at depth {depth}");
        assert_eq!([cost_table.submissions, cost_table.waits], [1, 1]);
        let of = |name: &str| cost_table.kernels().into_iter().find(|entry| entry.name() == name).unwrap().cost;
        assert_eq!(of("matvec").flops.matrix, 2 * HEAD, "one row of logits");
        assert_eq!(of("matmul_mma").flops.matrix, 2 * 512 * PRODUCTS, "all rows of everything else, on matrix units");
    }
}

/// The README's table of unmeasured speeds agrees with the plan.
#[test]
fn the_predicted_figures_are_the_plans() {
    let mut engine = dry_engine(Caps::apple(), "0.8b", 1, 8192);
    let prefill = [0, 4096].map(|depth| (512.0, CostTable::of(&engine.prefill(512, depth).unwrap())));
    let decode = [0, 4096].map(|depth| (1.0, CostTable::of(&engine.decode(1, depth).unwrap())));
    let readme = std::fs::read_to_string("README.md").unwrap();
    let rows: Vec<_> = readme.lines().filter_map(|line| line.strip_prefix("| M")).collect();
    assert!(rows.len() >= 5);
    for row in rows {
        let mut cells = row.split('|').map(str::trim);
        let chip = chips::named(&format!("M{}", cells.next().unwrap())).unwrap();
        for ((tokens, cost_table), cell) in prefill.iter().chain(&decode).zip(cells) {
            let (found, rate) =
                (cell.replace(',', "").parse::<f64>().unwrap(), tokens / cost_table.roofline(chip, None));
            assert!((found - rate).abs() <= 0.01 * rate, "{}: {found}, and the plan says {rate}", chip.name);
        }
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
        let rooflines = step["floors"].as_array().unwrap();
        assert_eq!(rooflines.len(), apple);
        assert!(
            rooflines.iter().all(|roofline| roofline["chip"].as_str().unwrap().starts_with("Apple")),
            "{rooflines:?}"
        );
        let dispatches: Vec<_> = step["kernels"].as_array().unwrap().iter().map(|kernel| &kernel["kernel"]).collect();
        let prompt = step["step"].as_str().unwrap().starts_with("prompt");
        assert_eq!(dispatches.iter().any(|name| *name == "matmul_mma"), prompt, "matrix units: {dispatches:?}");
    }
}

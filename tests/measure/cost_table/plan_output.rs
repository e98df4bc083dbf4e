//! `bench --plan`: the printed costs.

use std::process::{Command, Output};

use bimetal::measure::chips;
use serde_json::Value;

use super::WEIGHTS;

fn bimetal(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bimetal")).args(["bench", "--plan"]).args(arguments).output().unwrap()
}

#[test]
fn the_plan_is_printed_as_tables_and_as_json() {
    let output = bimetal(&["--shape", "0.8b", "-s", "1,2", "-d", "64", "--json", "--inputs", "f16"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["decode @ d64 x1", "decode @ d64 x2", "prompt 2048 @ d64"]);
    assert_eq!(steps[0]["total"]["weight_bytes"], WEIGHTS + 2 * 1024);
    assert_eq!(steps[0]["floors"].as_array().unwrap().len(), chips::all().len());
    let output = bimetal(&["--shape", "0.8b", "--chip", "H200"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("roofline on NVIDIA H200").count(), 2, "{text}");
    assert!(text.lines().any(|line| line.starts_with("matvec")), "{text}");
    let built_in = bimetal(&["--backend", "cpu", "--budget", "128"]);
    assert!(built_in.status.success() && String::from_utf8(built_in.stdout).unwrap().contains("Apple M1"));
}

#[test]
fn a_plan_of_nonsense_says_what_is_wrong() {
    let nonsense: [(&[&str], &str); 6] = [
        (&["--shape", "0.8b", "-s", "0"], "'0' for '--sequences"),
        (&["--shape", "0.8b", "-d", "4294967295"], "'4294967295' for '--depth"),
        (&["--shape", "0.8b", "-d", "262144"], "262144"),
        (&["--shape", "0.8b", "--budget", "0"], "budget"),
        (&["--shape", "0.8b", "--chip", "abacus"], "abacus"),
        (&["--shape", "0.8b", "--compare-loop"], "--compare-loop"),
    ];
    for (arguments, complaint) in nonsense {
        let output = bimetal(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(complaint), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

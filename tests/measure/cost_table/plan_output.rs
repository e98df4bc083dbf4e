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
    let output = bimetal(&["--shape", "0.8b", "-S", "1,2", "-d", "64", "--json", "--inputs", "f16"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["decode @ d64 x1", "decode @ d64 x2", "prompt 2048 @ d64"]);
    assert_eq!(steps[0]["total"]["weight_bytes"], WEIGHTS + 2 * 1024);
    assert_eq!(steps[0]["floors"].as_array().unwrap().len(), chips::all().len());
    let built_in = text(&["--backend", "cpu", "--budget", "128"]);
    assert!(built_in.contains("\nApple M1 ") && built_in.contains("\nNVIDIA H200 "), "{built_in}");
}

fn text(arguments: &[&str]) -> String {
    let output = bimetal(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    text
}

#[test]
fn floors_come_first_and_kernels_on_request() {
    let chosen = text(&["--shape", "0.8b", "--chip", "H200"]);
    let lines: Vec<_> = chosen.lines().collect();
    assert!(lines[0].starts_with("0.8b through wgpu on discrete GPU"), "{chosen}");
    assert!(chosen.contains("\nNVIDIA H200: 4,800 GB/s, 67 TFLOP/s in f32, 989.4 for matrix units. "), "{chosen}");
    let columns = lines.iter().position(|line| line.starts_with("step  ")).unwrap();
    let words: Vec<_> = lines[columns].split_whitespace().collect();
    assert_eq!(words, "step at most at least moved GFLOP dispatches submissions waits".split(' ').collect::<Vec<_>>());
    assert!(lines[columns + 1].starts_with("decode @ d0 x1 ") && lines[columns + 2].starts_with("prompt 2048 @ d0 "));
    assert_eq!(lines.len(), columns + 3, "{chosen}");
    let kernels = text(&["--shape", "0.8b", "--chip", "H200", "--kernels"]);
    assert!(kernels.starts_with(&chosen), "{kernels}");
    assert_eq!(kernels.matches("\nmatvec ").count(), 2, "{kernels}");
    let many = text(&["--shape", "27b", "-d", "0,4096,16384,65536,131072", "-S", "1,2,4", "--kernels"]);
    assert_eq!(many.matches("\nApple M1  ").count(), 8, "each of two tables in four parts: {many}");
}

#[test]
fn an_apple_chip_means_metal() {
    let backend = |arguments: &[&str]| text(arguments).lines().next().unwrap().to_owned();
    let chip = ["--shape", "0.8b", "--chip", "M4 Max"];
    assert!(backend(&chip).starts_with("0.8b through metal on Apple GPU"));
    let wgpu = |more: &[&str]| backend(&[&chip[..], &["--backend", "wgpu"], more].concat());
    assert!(wgpu(&[]).starts_with("0.8b through wgpu on integrated GPU"));
    assert!(wgpu(&["--gpu", "discrete"]).starts_with("0.8b through wgpu on discrete GPU"));
}

#[test]
fn a_plan_of_nonsense_says_what_is_wrong() {
    let nonsense: [(&[&str], &str); 9] = [
        (&["--shape", "0.8b", "-S", "0"], "'0' for '--sequences"),
        (&["--shape", "0.8b", "-d", "4294967295"], "'4294967295' for '--depth"),
        (&["--shape", "0.8b", "-d", "262144"], "262144"),
        (&["--shape", "0.8b", "--budget", "0"], "budget"),
        (&["--shape", "0.8b", "--chip", "abacus"], "unknown chip \"abacus\": choose one of Apple M1, "),
        (&["--chip", "H200", "--backend", "metal"], "--backend metal does not run on --chip \"NVIDIA H200\""),
        (&["--gpu", "discrete", "--backend", "cpu"], "--gpu is for plans of the wgpu backend"),
        (&["--gpu", "discrete", "--chip", "m1"], "--gpu is for plans of the wgpu backend"),
        (&["--shape", "0.8b", "--compare-loop"], "--compare-loop"),
    ];
    for (arguments, complaint) in nonsense {
        let output = bimetal(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(complaint), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

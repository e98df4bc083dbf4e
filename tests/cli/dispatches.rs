//! Single dispatches: profiles, traces, and kernels alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    run::{Outcome, existing, run, threads},
    support::{fixtures::fixture, scratch::Scratch},
};

/// A profile of the smallest model.
fn profile(arguments: &[&str]) -> Outcome {
    let small = fixture("tiny-tied-text-f32");
    let fixed =
        ["bench", "--profile", "--backend", "cpu", "-r", "3", "--budget", "65", "--model", small.to_str().unwrap()];
    run(&[&fixed, arguments].concat())
}

fn kernel(arguments: &[&str]) -> Outcome {
    run(&[&["bench", "kernel", "--backend", "cpu"], arguments].concat())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The figures of dispatches agree with each other.
fn check(work: &Value) {
    let seconds = number(&work["seconds"]);
    assert!(seconds > 0.0, "{work}");
    let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-12), "{a} {b}: {work}");
    close(number(&work["bytes_per_second"]) * seconds, number(&work["bytes"]));
    let flops = number(&work["flops"]["matrix"]) + number(&work["flops"]["vector"]);
    close(number(&work["flops_per_second"]) * seconds, flops);
    if work["floor_seconds"].is_null() {
        assert_eq!(work["of_floor"], Value::Null);
    } else {
        close(number(&work["of_floor"]) * seconds, number(&work["floor_seconds"]));
    }
}

#[test]
fn a_profile_for_programs() {
    let out = profile(&["-S", "1,3", "-d", "0,40", "--chip", "m1", "--json"]).succeeds().out;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["backend"], &report["chip"]), (&"cpu".into(), &"Apple M1".into()));
    let programs = report["programs"].as_array().unwrap();
    let said: Vec<_> = programs.iter().map(|p| json!([p["kind"], p["rows"], p["sequences"], p["depth"]])).collect();
    let want = [
        json!(["decode", 1, 1, 1]),
        json!(["decode", 3, 3, 1]),
        json!(["prompt", 65, 1, 0]),
        json!(["decode", 1, 1, 40]),
        json!(["decode", 3, 3, 40]),
        json!(["prompt", 65, 1, 40]),
    ];
    assert_eq!(said, want);
    for program in programs {
        check(&program["total"]);
        assert!(number(&program["seconds_in_one_go"]) > 0.0);
        let kernels = program["kernels"].as_array().unwrap();
        kernels.iter().for_each(check);
        let sum = |field: &str| kernels.iter().map(|kernel| number(&kernel[field])).sum::<f64>();
        for field in ["launches", "seconds", "bytes", "floor_seconds"] {
            let total = number(&program["total"][field]);
            assert!((sum(field) - total).abs() <= 1e-9 * total, "{field}: {program}");
        }
        assert!((sum("share") - 1.0).abs() < 1e-9);
        assert!(kernels.windows(2).all(|pair| number(&pair[0]["seconds"]) >= number(&pair[1]["seconds"])));
    }
    // Three sequences read the weights once, and each its own state.
    let moved = |at: usize| number(&programs[at]["total"]["bytes"]);
    assert!(moved(1) > moved(0) && moved(1) < 3.0 * moved(0));
    assert!(moved(5) > moved(2), "a chunk that goes on reads what is there");
}

#[test]
fn a_profile_of_given_lengths() {
    let steps = |arguments: &[&str]| {
        let report: Value = serde_json::from_str(&profile(arguments).succeeds().out).unwrap();
        let programs = report["programs"].as_array().unwrap().iter();
        programs.map(|p| json!([p["kind"], p["rows"], p["depth"]])).collect::<Vec<_>>()
    };
    // All chunks of each prompt, and the step that makes the last of the tokens; nothing twice.
    let found = steps(&["-p", "65,100", "-n", "8", "-d", "20", "--json"]);
    assert_eq!(found, [json!(["decode", 1, 27]), json!(["prompt", 65, 20]), json!(["prompt", 35, 85])]);
    assert_eq!(steps(&["-p", "0", "-n", "2", "--json"]), [json!(["decode", 1, 1])]);
}

#[test]
fn a_profile_for_people() {
    let out = profile(&["-S", "2"]).succeeds().out;
    assert_eq!(out.lines().nth(1).unwrap(), "its peaks are not known: --chip names a chip", "{out}");
    for title in ["decode step of 2 sequences at depth 1: ", "prompt chunk of 65 tokens at depth 0: "] {
        assert!(out.lines().any(|line| line.starts_with(title) && line.ends_with(" ms in one go")), "{title}{out}");
    }
    let columns = ["kernel", "dispatches", "µs", "each", "%", "GB/s", "TFLOP/s"];
    assert_eq!(out.lines().filter(|line| line.split_whitespace().eq(columns)).count(), 2, "{out}");
    let rows = |name: &str| out.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(rows("total "), 2, "{out}");
    assert!(rows("gdn_scan ") == 1 && rows("argmax ") == 2, "{out}");
    assert!(out.lines().any(|line| line.starts_with("matvec ") && line.contains('×')), "{out}");
    let known = profile(&["--chip", "H200"]).succeeds().out;
    assert!(known.lines().nth(1).unwrap().starts_with("NVIDIA H200: 4,800 GB/s, "), "{known}");
    assert_eq!(known.matches("  roofline\n").count(), 2, "{known}");
}

#[test]
fn a_trace() {
    let scratch = Scratch::empty();
    let file = scratch.path("trace.json");
    let outcome = profile(&["-S", "1,2", "--trace", file.to_str().unwrap(), "--json"]).succeeds();
    assert!(outcome.err.ends_with("trace.json: 3 programs; open it in https://ui.perfetto.dev\n"), "{}", outcome.err);
    let report: Value = serde_json::from_str(&outcome.out).unwrap();
    let trace: Value = serde_json::from_slice(&scratch.read("trace.json")).unwrap();
    existing(&trace);
    let mut rows: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        rows.entry(event["tid"].as_u64().unwrap()).or_default().push(event);
    }
    assert_eq!(rows.len(), 3);
    for (events, program) in rows.values().zip(report["programs"].as_array().unwrap()) {
        let (name, dispatches) = events.split_first().unwrap();
        assert_eq!(
            (&name["ph"], &name["name"], &name["args"]["name"]),
            (&"M".into(), &"thread_name".into(), &program["program"])
        );
        assert_eq!(number(&program["total"]["launches"]), dispatches.len() as f64);
        let mut end = 0.0;
        for dispatch in dispatches {
            assert_eq!(dispatch["ph"], "X");
            assert!(number(&dispatch["ts"]) >= end - 1e-6, "{dispatch} starts before {end}");
            end = number(&dispatch["ts"]) + number(&dispatch["dur"]);
            let args = &dispatch["args"];
            let kernel = args["kernel"].as_str().unwrap().split('[').next().unwrap();
            assert!(dispatch["name"].as_str().unwrap().starts_with(kernel), "{dispatch}");
            assert_eq!(args["grid"].as_array().unwrap().len(), 3);
        }
        let sum = |at: fn(&Value) -> &Value| dispatches.iter().map(|dispatch| number(at(dispatch))).sum::<f64>();
        let total = &program["total"];
        assert!((sum(|dispatch| &dispatch["dur"]) * 1e-6 - number(&total["seconds"])).abs() < 1e-6);
        assert_eq!(sum(|dispatch| &dispatch["args"]["bytes"]), number(&total["bytes"]));
        let flops = number(&total["flops"]["matrix"]) + number(&total["flops"]["vector"]);
        assert_eq!(sum(|dispatch| &dispatch["args"]["flops"]), flops);
    }
}

#[test]
fn profiles_that_cannot_be_made() {
    profile(&["--trace", "no-such-directory/trace.json"])
        .refuses("no-such-directory/trace.json: No such file or directory (os error 2)");
    profile(&["-d", "100000000"]).misunderstands(
        "invalid value '100000000' for '--depth <TOKENS>': expected a whole number from 0 to 16,777,216",
    );
    let long = "-d and --budget ask for a context of 100065 tokens, and the model's has 4096; give shorter lengths";
    profile(&["-d", "100000"]).refuses(long);
    let short = "-d and --budget ask for a context of 65 tokens, and --context has 32; give shorter lengths";
    profile(&["--context", "32"]).refuses(short);
    let long = "-p, -n and -d ask for a context of 5000 tokens, and the model's has 4096; give shorter lengths";
    profile(&["-p", "5000", "-n", "0"]).refuses(long);
    profile(&["-p", "0", "-n", "0"]).refuses("-p 0 -n 0 measures nothing; give one of them a length");
    profile(&["--plan"]).misunderstands("the argument '--profile' cannot be used with '--plan'");
    profile(&["--compare-loop"]).misunderstands("the argument '--profile' cannot be used with '--compare-loop'");
}

#[test]
fn a_kernel_alone() {
    let out = kernel(&["matvec", "--cold", "4", "-r", "2", "-S", "2", "--chip", "m1", "--json"]).succeeds().out;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["kernel"], &report["chip"]), (&"matvec".into(), &"Apple M1".into()));
    let dispatches = report["launches"].as_array().unwrap();
    for dispatch in dispatches {
        check(&dispatch["cold"]);
        check(&dispatch["warm"]);
        assert_eq!(dispatch["cold"]["bytes"], dispatch["warm"]["bytes"]);
        assert!(number(&dispatch["bytes_before_again"]) >= 4e6, "{dispatch}");
    }
    // As often as a step dispatches it.
    let flags = ["bench", "--profile", "--backend", "cpu", "-r", "1", "-S", "2", "--json"];
    let profile: Value = serde_json::from_str(&run(&flags).succeeds().out).unwrap();
    for program in profile["programs"].as_array().unwrap() {
        let kernels = program["kernels"].as_array().unwrap().iter();
        let products = kernels.filter(|kernel| kernel["kernel"].as_str().unwrap().starts_with("matvec "));
        let want: BTreeMap<_, _> =
            products.map(|kernel| (kernel["kernel"].as_str().unwrap(), kernel["launches"].as_u64().unwrap())).collect();
        let mut said = BTreeMap::new();
        for dispatch in dispatches.iter().filter(|dispatch| dispatch["kind"] == program["kind"]) {
            *said.entry(dispatch["name"].as_str().unwrap()).or_insert(0) += dispatch["count"].as_u64().unwrap();
        }
        assert!(!want.is_empty() && said == want, "{said:?} {want:?}");
    }
}

/// Written and read-only bindings get new buffers; every kernel of a step can be measured.
#[test]
fn every_kernel_of_a_step() {
    let small = fixture("tiny-tied-text-f32");
    let absent = kernel(&["copy_slot", "--model", small.to_str().unwrap()]).err;
    let (_, names) =
        absent.split_once("no step of this model dispatches copy_slot on this device; they dispatch ").unwrap();
    let names: Vec<_> = names.trim_end().split(", ").collect();
    assert!(names.len() > 12, "{absent}");
    for name in names {
        let flags = ["--cold", "1", "-r", "1", "--budget", "65", "-d", "20", "--model", small.to_str().unwrap()];
        let out = kernel(&[&[name], &flags[..]].concat()).succeeds().out;
        let begin =
            out.find("\ndecode step of 1 sequence at depth 20").or_else(|| out.find("\nprompt chunk of 65 tokens"));
        let (heading, table) = out.split_at(begin.unwrap_or_else(|| panic!("{out}")));
        let device = format!("on {} threads (cpu): dispatches back to back in one program", threads());
        let heading = heading.replace('\n', " ");
        assert!(heading.starts_with(&format!("{name} of ")) && heading.contains(&device), "{heading}");
        let rows = |buffers: &str| table.lines().filter(|line| line.contains(buffers)).count();
        let (cold, warm) = (rows("  cold  "), rows("  warm  "));
        assert!((1..=16).contains(&cold) && cold == warm, "{out}");
    }
}

#[test]
fn kernels_that_are_not_there() {
    let said = kernel(&["matmul_mna"]).err;
    assert!(said.starts_with("error: invalid value 'matmul_mna' for '<NAME>'\n  [possible values: a"), "{said}");
    let long = "-d and --budget ask for a context of 5001 tokens, and the model's has 4096; give shorter lengths";
    kernel(&["matvec", "-d", "5000"]).refuses(long);
}

//! Says once which backends the test programs compared. Cargo runs programs in the order of their names, this one last.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    io::{Write, stderr},
};

use support::{
    backends::backends,
    survey::{Finding, table, take},
};

/// One table for all programs that found the same.
fn summary(programs: BTreeMap<String, Vec<Finding>>) -> String {
    let mut alike: BTreeMap<Vec<Finding>, Vec<String>> = BTreeMap::new();
    for (program, findings) in programs {
        alike.entry(findings).or_default().push(program);
    }
    let told = |(findings, programs): (&Vec<Finding>, &Vec<String>)| {
        format!("Backends, in the tests of {}:\n{}", programs.join(", "), table(findings))
    };
    alike.iter().map(told).collect::<Vec<_>>().join("\n")
}

#[test]
fn were_compared() {
    assert_eq!(backends()[0].0, "cpu");
    let mut programs = take();
    let here = programs.remove(env!("CARGO_CRATE_NAME")).expect("this program has left its findings");
    if programs.is_empty() {
        programs.insert("no other program".into(), here);
    }
    // Writes around the test harness, which hides the output of passing tests.
    _ = writeln!(stderr(), "\n{}", summary(programs));
}

#[test]
fn programs_that_found_the_same_share_a_table() {
    let finding =
        |what: Result<&str, &str>| Finding { name: "wgpu".into(), what: what.map(Into::into).map_err(Into::into) };
    let programs = [("engine", Ok("a card")), ("kernels", Ok("a card")), ("model", Err("no driver"))];
    let programs = programs.map(|(program, what)| (program.to_owned(), vec![finding(what)]));
    let said = summary(programs.into());
    assert_eq!(said.matches("Backends, in the tests of ").count(), 2, "{said}");
    assert!(said.contains("engine, kernels:\n  wgpu        compared: a card"), "{said}");
    assert!(said.contains("model:\n  wgpu        skipped: no driver"), "{said}");
}

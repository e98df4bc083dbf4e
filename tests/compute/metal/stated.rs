//! Statements about Macs outside the code, and the compiler's options, checked without a Mac.

use std::{fs, path::Path};

use bimetal::low_level::compute::metal::MIN_MACOS;

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_front_page_states_the_least_macos() {
    assert!(text("README.md").contains(MIN_MACOS), "README.md says nothing of {MIN_MACOS}");
}

#[test]
fn the_report_of_a_mac_has_a_run_under_validation() {
    let script = text(".ci/mac");
    let run = script.lines().find(|line| line.contains("MTL_SHADER_VALIDATION=1")).expect("a run under validation");
    assert!(run.contains("MTL_DEBUG_LAYER=1") && run.contains("--test kernels"), "{run}");
    assert!(
        script.lines().any(|line| line.starts_with("section") && line.ends_with(" validated")),
        "it is in the report"
    );
}

/// Since macOS 15, safe math mode leaves functions fast. So precise functions need their own setting.
#[test]
fn whoever_asks_for_safe_maths_asks_for_precise_functions() {
    let text = text("src/compute/metal/objc.rs");
    let [maths, functions] = ["MTLMathMode::Safe);", "MTLMathFloatingPointFunctions::Precise);"];
    assert_eq!(text.matches(maths).count(), 2, "set once, tested once");
    assert_eq!(text.matches(functions).count(), 2, "set once, tested once");
}

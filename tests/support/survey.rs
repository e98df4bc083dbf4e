//! Which backends each test program compared, for one summary at the end of `cargo test`.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::{Deserialize, Serialize};

/// A backend's name, and its device or the reason for its absence.
#[derive(Clone, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Finding {
    pub name: String,
    pub what: Result<String, String>,
}

/// Where each test program leaves its findings, in a file of its name.
fn folder() -> PathBuf {
    [env!("CARGO_TARGET_TMPDIR"), "backends"].iter().collect()
}

/// Leaves the findings of this test program. A program that was copied to another machine has no such folder.
pub fn record(findings: &[Finding]) {
    println!("{}", table(findings));
    let text = serde_json::to_vec(findings).expect("findings are plain values");
    _ = fs::create_dir_all(folder());
    _ = fs::write(folder().join(env!("CARGO_CRATE_NAME")), text);
}

/// The findings of each test program since the last summary, by the program's name.
pub fn take() -> BTreeMap<String, Vec<Finding>> {
    let files = fs::read_dir(folder()).into_iter().flatten().flatten();
    let read = |file: fs::DirEntry| {
        let findings = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
        fs::remove_file(file.path()).ok()?;
        Some((file.file_name().into_string().ok()?, findings))
    };
    files.filter_map(read).collect()
}

/// One line for each backend.
pub fn table(findings: &[Finding]) -> String {
    let line = |finding: &Finding| match &finding.what {
        Ok(device) => format!("  {:<11} compared: {device}", finding.name),
        Err(why) => format!("  {:<11} skipped: {why}", finding.name),
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

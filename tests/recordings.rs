//! Digests of all work of a device, against one committed file: the dispatches of every program on several devices and
//! in all precisions, their bindings, the host's writes and reads, and every whole shader text.
//!
//! No GPU is needed. Equal digests prove that a change of Rust code leaves the work of all devices unchanged.
#![allow(missing_docs, clippy::unwrap_used)]
#![cfg(feature = "wgpu")]

#[path = "recordings/configurations.rs"]
mod configurations;
#[path = "recordings/differences.rs"]
mod differences;
#[path = "recordings/digest.rs"]
mod digest;
#[path = "kernels/twins/dispatches.rs"]
mod dispatches;
#[path = "recordings/dump.rs"]
mod dump;
#[path = "recordings/programs.rs"]
mod programs;
#[path = "recordings/recorder.rs"]
mod recorder;
#[path = "recordings/shaders.rs"]
mod shaders;
#[path = "recordings/spelling.rs"]
mod spelling;

use std::{env, fs};

use differences::{differences, shown};
use dump::Dump;
use programs::Programs;
use shaders::Shaders;

/// The committed digests.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/digests.txt");

/// The environment variable that requests a new file.
const VARIABLE: &str = "RECORDINGS";

const TOP: &str = "\
# Digests (FNV-1a, 64 bits) of what devices are asked to do: see tests/recordings.rs. One line each:
# kernel NAME: all of its dispatches in all programs
# program MODEL/DEVICE/ACTIVATIONS/WEIGHTS/STEP.NUMBER: dispatches, the buffers they bind, what the host writes and reads
# shader KERNEL ELEMENTS DEVICE-FEATURES DIGEST-OF-DEFINES-AND-SHAPES: whole texts
";

const HELP: &str = "\
To see what changed, write all texts here and at a revision that passes, and compare the two folders with diff -r:
  RECORDINGS_DUMP=FOLDER cargo test --test recordings
If the change is meant, write the file again and commit it:
  RECORDINGS=write cargo test --test recordings";

#[test]
fn devices_are_asked_for_what_they_were_asked_for() {
    let found = record();
    if env::var(VARIABLE).is_ok_and(|value| value == "write") {
        fs::write(FILE, &found).unwrap();
        return;
    }
    let expected = fs::read_to_string(FILE).unwrap();
    let differences = differences(&expected, &found);
    let count = differences.len();
    assert!(count == 0, "{count} lines of tests/recordings/digests.txt differ:\n{}{HELP}", shown(&differences));
    assert!(
        expected == found,
        "tests/recordings/digests.txt: the order of lines or the comment on top differs.\n{HELP}"
    );
}

/// All lines of the file.
fn record() -> String {
    let (dump, mut programs, mut shaders) = (Dump::from_environment(), Programs::default(), Shaders::default());
    for configuration in configurations::all() {
        configuration.play(&mut |name, run| {
            programs.add(name, &run, &dump);
            run.dispatches.iter().for_each(|dispatch| shaders.add(dispatch, &configuration.caps, &dump));
        });
    }
    for (dispatch, caps) in dispatches::all() {
        shaders.add(&dispatch, &caps, &dump);
    }
    let mut lines: Vec<_> = programs.lines().chain(shaders.lines()).collect();
    lines.sort();
    format!("{TOP}{}\n", lines.join("\n"))
}

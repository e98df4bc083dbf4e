//! The files in tests/fixtures.

use std::path::{Path, PathBuf};

use bimetal::Checkpoint;

/// The path of a file or folder of the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Opens a fixture as a checkpoint.
pub fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::open(&fixture(name)).unwrap()
}

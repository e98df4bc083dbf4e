//! Files of tests/fixtures.

use std::path::{Path, PathBuf};

use bimetal::Checkpoint;

/// Where a file or folder of the fixtures is.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The checkpoint that a fixture is.
pub fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::open(&fixture(name)).unwrap()
}

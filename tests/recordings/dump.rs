//! Writes whole texts as files, for `diff -r` with those of another revision.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The environment variable that names the folder.
pub const VARIABLE: &str = "RECORDINGS_DUMP";

/// A folder for texts, if one is requested.
pub struct Dump(Option<PathBuf>);

impl Dump {
    /// The folder that the environment requests.
    pub fn from_environment() -> Self {
        Self(env::var_os(VARIABLE).map(PathBuf::from))
    }

    /// Writes a file inside the folder.
    pub fn write(&self, file: &Path, text: &str) {
        let Some(folder) = &self.0 else { return };
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

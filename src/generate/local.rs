//! Model paths in a build without the hub: only models on this machine.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The path of a model. Nothing is downloaded, so `progress` is never called.
///
/// # Errors
/// [`Error::Unsupported`] for a name that is not a path on this machine.
pub(super) fn locate(model: &str, _progress: &mut dyn FnMut(())) -> Result<PathBuf> {
    let path = Path::new(model);
    if path.exists() {
        return Ok(path.into());
    }
    let hint = "no such path is on this machine; give a directory or a GGUF file, or build with the feature hub";
    Err(Error::Unsupported { what: format!("downloading {model}"), hint: hint.into() })
}

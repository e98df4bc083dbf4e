//! Downloads a model's files from a Hugging Face hub into the cache that all of the hub's tools share. Files complete
//! in the cache are never requested again, so a downloaded model runs without a network.

mod cached;
mod client;
mod download;
mod explain;
mod fetch;
mod headers;
mod listing;
mod options;
mod progress;
mod proxy;
mod remote;
mod removal;
mod snapshot;
mod spec;
mod url;

use std::path::{Path, PathBuf};

pub use cached::{CachedModel, list, total_bytes};
pub use fetch::{fetch, pull};
pub use headers::{RemoteFile, RemoteModel, inspect};
pub use options::{HubOptions, SetBy};
pub use progress::{DownloadEvent, Progress};
pub use removal::{Removal, removal};
pub use spec::{RepoSpec, short_revision};

use crate::{Error, Result};

/// The only weight file of a small model.
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Files that every model of safetensors files needs.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// Files to download if the repository has them.
const OPTIONAL: [&str; 5] =
    ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", INDEX];

/// The path of a model on this machine. `model` is a path, or a name on the hub as [`RepoSpec::parse`] reads it, which
/// is downloaded with the options of the environment. An existing path wins.
///
/// # Errors
/// Those of [`fetch`] and [`HubOptions::from_environment`]. A path is returned unchecked; opening it reports a missing
/// model.
pub fn locate(model: &str, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let Some(spec) = on_hub(model) else { return Ok(model.into()) };
    fetch(&spec, &HubOptions::from_environment()?, progress).map_err(|error| hint(error, model, &spec))
}

/// The model on the hub that a text names. `None` if it is a path.
pub fn on_hub(model: &str) -> Option<RepoSpec> {
    RepoSpec::parse(model).filter(|_| !Path::new(model).exists())
}

/// Adds that there is no such path either, where the user may have meant one: nothing of that name was found, or the
/// directory that would hold it is here.
fn hint(error: Error, model: &str, spec: &RepoSpec) -> Error {
    let beside = Path::new(model).parent().is_some_and(Path::is_dir);
    match error {
        Error::Download { what, why }
            if spec.may_be_path() && (beside || why.contains(explain::NOT_FOUND) || why.contains(fetch::NOT_HERE)) =>
        {
            let kind = if spec::is_gguf(model) { "file" } else { "directory" };
            Error::Download { what, why: format!("{why}. There is no {kind} {model} on this machine either") }
        }
        other => other,
    }
}

/// A number of bytes for messages, in the largest binary unit that leaves a number of at least one.
pub fn size_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

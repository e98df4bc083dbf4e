//! Downloads a model's files from a Hugging Face hub into the cache that all of the hub's tools share. Files complete
//! in the cache are never requested again, so a downloaded model runs without a network.

mod download;
mod explain;
mod snapshot;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use hf_hub::Cache;

use crate::{Error, Result};
use download::Remote;
use snapshot::Snapshot;

/// Files that every model needs.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
const INDEX: &str = "model.safetensors.index.json";
/// Files to download if the repository has them.
const OPTIONAL: [&str; 4] = ["generation_config.json", "tokenizer_config.json", "chat_template.jinja", INDEX];

/// A repository on the hub, and a revision of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSpec {
    name: String,
    revision: String,
}

impl RepoSpec {
    /// Parses `OWNER/NAME` or `OWNER/NAME@REVISION`. A revision is a branch, a tag or a commit; the default is `main`.
    /// Returns `None` for other text, such as most paths. A path like `models/mine` also parses: check for a path
    /// first.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (owner, repository) = name.split_once('/')?;
        let named = [owner, repository].iter().all(|part| is_name(part));
        let revised = !revision.is_empty() && revision.split('/').all(is_name);
        (named && revised).then(|| Self { name: name.into(), revision: revision.into() })
    }
}

impl fmt::Display for RepoSpec {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self.revision.as_str() {
            "main" => to.write_str(&self.name),
            revision => write!(to, "{}@{revision}", self.name),
        }
    }
}

/// Whether the text is safe as a path component and as a part of a URL.
fn is_name(part: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') && part.chars().all(plain)
}

/// The hub's address, the cache directory and the access token.
#[derive(Clone)]
pub struct HubOptions {
    /// The hub's URL, without a trailing slash.
    pub endpoint: String,
    /// The directory that holds `models--OWNER--NAME`.
    pub cache: PathBuf,
    /// The access token, for gated and private repositories.
    pub token: Option<String>,
}

impl HubOptions {
    /// The settings of the hub's own tools: `HF_ENDPOINT`, `HF_HOME`, and `HF_TOKEN` or the token file under `HF_HOME`.
    ///
    /// # Errors
    /// Those of [`HubOptions::from_variables`].
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Like [`from_environment`](Self::from_environment), with other environment variables.
    ///
    /// # Errors
    /// [`Error::Download`] if there is no home directory for the cache.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| set(name).map(|value| value.to_string_lossy().trim().to_owned());
        let user = || Some(std::env::home_dir()?.join(".cache/huggingface"));
        let home = set("HF_HOME").map(PathBuf::from).or_else(user).ok_or_else(|| Error::Download {
            what: "models".into(),
            why: "there is no home directory to keep them in: set HF_HOME to a directory".into(),
        })?;
        let cache = home.join("hub");
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let token = text("HF_TOKEN").or_else(|| Cache::new(cache.clone()).token());
        Ok(Self { endpoint: endpoint.trim_end_matches('/').into(), cache, token })
    }
}

impl fmt::Debug for HubOptions {
    /// Shows whether a token is set, never the token.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        let Self { endpoint, cache, .. } = self;
        to.debug_struct("HubOptions").field("endpoint", endpoint).field("cache", cache).field("token", &token).finish()
    }
}

/// Download progress: the file's name, its bytes received, and its size in bytes.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// The path of a model on this machine. `model` is a path, or `OWNER/NAME` or `OWNER/NAME@REVISION` on the hub, which
/// is downloaded with the options of the environment. An existing path wins.
///
/// # Errors
/// Those of [`fetch`] and [`HubOptions::from_environment`]. A path is returned unchecked; opening it reports a missing
/// model.
pub fn locate(model: &str, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let path = Path::new(model);
    let Some(spec) = RepoSpec::parse(model).filter(|_| !path.exists()) else { return Ok(path.into()) };
    // The user may have meant a path.
    fetch(&spec, &HubOptions::from_environment()?, progress).map_err(|error| match error {
        Error::Download { what, why } => {
            Error::Download { what, why: format!("{why}. There is no directory {spec} on this machine either") }
        }
        other => other,
    })
}

/// Downloads the missing files of `spec`, resuming broken ones. Returns the directory of the complete snapshot.
///
/// A snapshot already in the cache is not updated from the hub: to update, name a revision.
///
/// # Errors
/// [`Error::Download`] with the file, the cause and the remedy; [`Error::Io`] and [`Error::Format`] for the cache.
pub fn fetch(spec: &RepoSpec, options: &HubOptions, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let cached = Snapshot::cached(&options.cache, spec);
    if let Some(snapshot) = cached.as_ref().filter(|snapshot| snapshot.is_settled()) {
        return Ok(snapshot.directory());
    }
    let mut remote = Remote::new(spec, options, progress)?;
    // Use one commit for all files: a push during the download must not mix two models.
    let snapshot = match cached {
        Some(snapshot) => snapshot,
        None => Snapshot::of(&options.cache, spec, remote.commit()?),
    };
    match fill(&mut remote, &snapshot) {
        Err(error) if snapshot.is_usable() => log::warn!("{spec}: using the cached files: {error}"),
        outcome => outcome?,
    }
    Ok(snapshot.directory())
}

fn fill(remote: &mut Remote<'_, '_>, snapshot: &Snapshot) -> Result<()> {
    for file in REQUIRED {
        remote.require(snapshot, file)?;
    }
    for file in OPTIONAL {
        remote.bring(snapshot, file)?;
    }
    for file in snapshot.weights()? {
        remote.require(snapshot, &file)?;
    }
    // Write the revision's name last, so that it never points to an incomplete model.
    snapshot.name_it()
}

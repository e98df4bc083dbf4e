//! Brings a model from a Hugging Face hub into the cache which all of the hub's tools share, and nothing it does not
//! need. What is complete there is never asked for again, so that a model once fetched runs without a network.

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

/// Without these there is nothing to run.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
const INDEX: &str = "model.safetensors.index.json";
/// Taken where the repository has them.
const OPTIONAL: [&str; 4] = ["generation_config.json", "tokenizer_config.json", "chat_template.jinja", INDEX];

/// A repository on the hub, and which of its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSpec {
    name: String,
    revision: String,
}

impl RepoSpec {
    /// Reads `OWNER/NAME` or `OWNER/NAME@REVISION`; a revision is a branch, a tag or a commit, `main` where left out.
    /// `None` for anything else, such as most paths; one like `models/mine` has the same form and must be ruled out first.
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

/// These become path components and parts of an address: nothing that could lead elsewhere.
fn is_name(part: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') && part.chars().all(plain)
}

/// Which hub to ask, where to keep what it sends, and as whom.
#[derive(Clone)]
pub struct HubOptions {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The directory that holds `models--OWNER--NAME`.
    pub cache: PathBuf,
    /// The access token, for gated and private repositories.
    pub token: Option<String>,
}

impl HubOptions {
    /// What the hub's own tools would use: `HF_ENDPOINT`, `HF_HOME`, and `HF_TOKEN` or the token file under `HF_HOME`.
    ///
    /// # Errors
    /// As [`HubOptions::from_variables`].
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// As [`from_environment`](Self::from_environment), with the variables coming from elsewhere.
    ///
    /// # Errors
    /// [`Error::Download`] where there is no home directory to keep models in.
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
    /// Says whether there is a token, never which.
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        let Self { endpoint, cache, .. } = self;
        to.debug_struct("HubOptions").field("endpoint", endpoint).field("cache", cache).field("token", &token).finish()
    }
}

/// Told which file is being downloaded, how many of its bytes are here, and how many it has.
pub type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// Where a model is on this machine. `model` is a path, or `OWNER/NAME` or `OWNER/NAME@REVISION` on the hub, which is
/// downloaded with the options of the environment. A path that exists wins.
///
/// # Errors
/// Those of [`fetch`] and [`HubOptions::from_environment`]. A path is returned as it is: whether a model is there shows when it
/// is opened.
pub fn locate(model: &str, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let path = Path::new(model);
    let Some(spec) = RepoSpec::parse(model).filter(|_| !path.exists()) else { return Ok(path.into()) };
    // The name may have been meant as a path.
    fetch(&spec, &HubOptions::from_environment()?, progress).map_err(|error| match error {
        Error::Download { what, why } => {
            Error::Download { what, why: format!("{why}. There is no directory {spec} on this machine either") }
        }
        other => other,
    })
}

/// The directory of a complete snapshot of `spec`, after downloading what it lacks. A file that broke off is resumed.
///
/// A snapshot already in the cache is not compared with the hub's newest one: to update, name a revision.
///
/// # Errors
/// [`Error::Download`] with the file, what went wrong and what to do; [`Error::Io`] and [`Error::Format`] for the
/// cache.
pub fn fetch(spec: &RepoSpec, options: &HubOptions, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let cached = Snapshot::cached(&options.cache, spec);
    if let Some(snapshot) = cached.as_ref().filter(|snapshot| snapshot.is_settled()) {
        return Ok(snapshot.directory());
    }
    let mut remote = Remote::new(spec, options, progress)?;
    // One commit for all files: a push in the middle of a download must not mix two models.
    let snapshot = match cached {
        Some(snapshot) => snapshot,
        None => Snapshot::of(&options.cache, spec, remote.commit()?),
    };
    match fill(&mut remote, &snapshot) {
        Err(error) if snapshot.is_usable() => log::warn!("{spec}: using what is in the cache: {error}"),
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
    // Last, so that a name never stands for half a model.
    snapshot.name_it()
}

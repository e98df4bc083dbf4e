//! What is in the cache, whichever tool put it there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    HubOptions, RepoSpec,
    listing::GgufModel,
    snapshot::{Snapshot, folder, walk},
    spec::{Choice, MAIN, is_gguf},
};
use crate::{Error, Result};

/// A model in the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedModel {
    /// Its name, as for a download.
    pub spec: RepoSpec,
    /// The directory or the GGUF file to open.
    pub path: PathBuf,
    /// Bytes of its files. Models may share some: [`total_bytes`] counts those once.
    pub bytes: u64,
    /// When its newest file was written.
    pub modified: Option<SystemTime>,
    /// Whether all files that this engine needs are there.
    pub complete: bool,
    /// The contents of its files, with their bytes.
    contents: BTreeMap<PathBuf, u64>,
}

/// The bytes that the models take together. What several of them share counts once.
pub fn total_bytes(models: &[CachedModel]) -> u64 {
    let contents: BTreeMap<_, _> = models.iter().flat_map(|model| &model.contents).collect();
    contents.into_values().sum()
}

/// All models in the cache, by name. Nothing is requested.
///
/// # Errors
/// [`Error::Io`] if the cache directory cannot be read. A cache that is not there has no models.
pub fn list(options: &HubOptions) -> Result<Vec<CachedModel>> {
    let mut models = Vec::new();
    if !options.cache.exists() {
        return Ok(models);
    }
    for entry in fs::read_dir(&options.cache).map_err(Error::io(&options.cache))?.flatten() {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix("models--")).map(|name| name.replacen("--", "/", 1));
        let Some(spec) = name.and_then(|name| RepoSpec::parse(&name)) else { continue };
        let snapshots = snapshots(options, &spec);
        if snapshots.is_empty() {
            models.extend(unfinished(spec, options.cache.join(entry.file_name())));
            continue;
        }
        let first = models.len();
        for (revision, snapshot) in snapshots {
            let named = RepoSpec { revision, ..spec.clone() };
            models.extend(models_of(&named, &snapshot));
        }
        if let Some(unfinished) = unfinished(spec, options.cache.join(entry.file_name())) {
            match models[first..].iter_mut().find(|model| !model.complete) {
                Some(model) => model.add(unfinished),
                None => models.push(unfinished),
            }
        }
    }
    models.sort_by_key(|model| model.spec.to_string().to_lowercase());
    Ok(models)
}

/// What a broken download has left in a repository: parts of files, and files that no snapshot names yet.
fn unfinished(spec: RepoSpec, repository: PathBuf) -> Option<CachedModel> {
    let (mut files, mut named) = (Vec::new(), BTreeSet::new());
    walk(&repository.join("snapshots"), &mut |path| named.extend(fs::canonicalize(path).ok()));
    walk(&repository.join("blobs"), &mut |path| {
        if !fs::canonicalize(path).is_ok_and(|path| named.contains(&path)) {
            files.push(path.to_owned());
        }
    });
    (!files.is_empty()).then(|| measured(spec, repository, &files, false))
}

/// The commits of a repository in the cache, each with a name for it.
pub(super) fn snapshots(options: &HubOptions, spec: &RepoSpec) -> Vec<(String, Snapshot)> {
    let repository = options.cache.join(folder(&spec.name));
    let mut names = BTreeMap::new();
    let references = repository.join("refs");
    walk(&references, &mut |path| {
        let name = path.strip_prefix(&references).ok().and_then(Path::to_str).map(|name| name.replace('\\', "/"));
        if let Some((name, commit)) = name.zip(fs::read_to_string(path).ok()) {
            let known = names.entry(commit.trim().to_owned()).or_insert_with(|| name.clone());
            if name == MAIN {
                *known = name;
            }
        }
    });
    let commits = fs::read_dir(repository.join("snapshots")).into_iter().flatten().flatten();
    let commits =
        commits.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
    let named = |commit: String| {
        let revision = names.get(&commit).unwrap_or(&commit).clone();
        (revision, Snapshot::of(&options.cache, spec, commit))
    };
    commits.map(named).collect()
}

fn models_of(spec: &RepoSpec, snapshot: &Snapshot) -> Vec<CachedModel> {
    let directory = snapshot.directory();
    let ggufs = snapshot.gguf_models();
    let mut models: Vec<_> = ggufs
        .iter()
        .map(|model| {
            let same = |other: &&GgufModel| other.quantization().eq_ignore_ascii_case(model.quantization());
            let choice = match ggufs.iter().filter(same).count() {
                1 => Choice::Quantization(model.quantization().into()),
                _ => Choice::File(model.name().into()),
            };
            let files: Vec<_> = model.files.iter().map(|file| directory.join(file)).collect();
            measured(RepoSpec { choice, ..spec.clone() }, directory.join(model.name()), &files, true)
        })
        .collect();
    let mut others = Vec::new();
    walk(&directory, &mut |path| {
        if !path.to_str().is_some_and(is_gguf) {
            others.push(path.to_owned());
        }
    });
    let usable = snapshot.is_usable();
    let weights = others.iter().any(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    if usable || weights || models.is_empty() {
        models.push(measured(spec.clone(), directory, &others, usable));
    }
    models
}

fn measured(spec: RepoSpec, path: PathBuf, files: &[PathBuf], complete: bool) -> CachedModel {
    let found = |file: &PathBuf| Some((fs::canonicalize(file).ok()?, fs::metadata(file).ok()?));
    let found: BTreeMap<_, _> = files.iter().filter_map(found).collect();
    let modified = found.values().filter_map(|found| found.modified().ok()).max();
    let contents: BTreeMap<_, _> = found.into_iter().map(|(path, found)| (path, found.len())).collect();
    CachedModel { spec, path, bytes: contents.values().sum(), modified, complete, contents }
}

impl CachedModel {
    /// Adds the files of another model.
    fn add(&mut self, other: CachedModel) {
        self.contents.extend(other.contents);
        self.bytes = self.contents.values().sum();
        self.modified = self.modified.max(other.modified);
    }
}

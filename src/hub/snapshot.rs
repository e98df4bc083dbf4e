//! One commit of one repository in the cache, in the directory layout of the hub's own tools.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    INDEX, OPTIONAL, REQUIRED, RepoSpec, WEIGHTS,
    listing::{GgufModel, gguf_models},
    spec::{is_inside, is_short},
};
use crate::{Error, Result};

/// One commit of a repository in the cache, complete or not.
pub(super) struct Snapshot {
    repository: PathBuf,
    revision: String,
    commit: String,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The cache's folder of a repository.
pub(super) fn folder(name: &str) -> String {
    format!("models--{}", name.replace('/', "--"))
}

impl Snapshot {
    pub fn of(cache: &Path, spec: &RepoSpec, commit: String) -> Self {
        Self { repository: cache.join(folder(&spec.name)), revision: spec.revision.clone(), commit }
    }

    /// The cached commit of this revision's name, or the revision itself if it is a commit.
    pub fn cached(cache: &Path, spec: &RepoSpec) -> Option<Self> {
        let mut snapshot = Self::of(cache, spec, spec.revision.clone());
        if let Ok(commit) = fs::read_to_string(snapshot.repository.join("refs").join(&spec.revision)) {
            snapshot.commit = commit.trim().into();
        }
        let mut named = !snapshot.commit.is_empty() && is_inside(&snapshot.commit);
        if named && !snapshot.directory().is_dir() && is_short(&spec.revision) {
            let commits = fs::read_dir(snapshot.repository.join("snapshots")).into_iter().flatten().flatten();
            let commits = commits.filter_map(|entry| entry.file_name().into_string().ok());
            let mut fitting = commits.filter(|commit| commit.starts_with(&spec.revision));
            snapshot.commit = fitting.next().unwrap_or_default();
            named = !snapshot.commit.is_empty() && fitting.next().is_none();
        }
        (named && snapshot.directory().is_dir()).then_some(snapshot)
    }

    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Whether the text is the commit, or its first digits.
    pub fn is_named(&self, text: &str) -> bool {
        self.commit == text || (is_short(text) && self.commit.starts_with(text))
    }

    /// The directory of the files under their own names.
    pub fn directory(&self) -> PathBuf {
        self.repository.join("snapshots").join(&self.commit)
    }

    /// The place of the contents with this tag.
    pub fn blob(&self, tag: &str) -> PathBuf {
        self.repository.join("blobs").join(tag)
    }

    /// The file that a process locks while it downloads the contents with this tag. The hub's own library uses the same.
    pub fn lock(&self, tag: &str) -> PathBuf {
        let folder = self.repository.file_name().unwrap_or_default();
        let cache = self.repository.parent().unwrap_or(&self.repository);
        cache.join(".locks").join(folder).join(format!("{tag}.lock"))
    }

    pub fn has(&self, file: &str) -> bool {
        self.directory().join(file).exists()
    }

    fn absence(&self, file: &str) -> PathBuf {
        self.repository.join(".no_exist").join(&self.commit).join(file)
    }

    /// Whether the hub answered before that this commit lacks the file.
    pub fn lacks(&self, file: &str) -> bool {
        self.absence(file).exists()
    }

    /// Records that the hub lacks the file, so that it is not requested again.
    pub fn mark_absent(&self, file: &str) -> Result<()> {
        write(&self.absence(file), "")
    }

    /// Whether the index says which file has which weights; if it does not, one file has all of them.
    pub fn weights(&self) -> Result<BTreeSet<String>> {
        let file = self.directory().join(INDEX);
        if !file.exists() {
            return Ok(BTreeSet::from([WEIGHTS.into()]));
        }
        let text = fs::read(&file).map_err(Error::io(&file))?;
        shards(&file, &text)
    }

    /// Whether all files that a model of safetensors files needs are in the cache.
    pub fn is_usable(&self) -> bool {
        let weights = self.weights().is_ok_and(|files| !files.is_empty() && files.iter().all(|file| self.has(file)));
        weights && REQUIRED.iter().all(|file| self.has(file))
    }

    /// Whether every required or optional file is in the cache or recorded as absent.
    pub fn is_settled(&self) -> bool {
        self.is_usable() && OPTIONAL.iter().all(|file| self.has(file) || self.lacks(file))
    }

    /// The models in GGUF form that are complete in the cache.
    pub fn gguf_models(&self) -> Vec<GgufModel> {
        let directory = self.directory();
        let mut files = Vec::new();
        walk(&directory, &mut |path| {
            let name = path.strip_prefix(&directory).ok().and_then(Path::to_str).map(|name| name.replace('\\', "/"));
            files.extend(name.zip(fs::metadata(path).ok().map(|found| found.len())));
        });
        let mut models = gguf_models(files.iter().map(|(name, bytes)| (name.as_str(), *bytes)));
        models.retain(|model| model.files.iter().all(|file| self.has(file)));
        models
    }

    /// Shows the contents of a blob under a file's name.
    pub fn link(&self, file: &str, blob: &Path) -> Result<()> {
        let pointer = self.directory().join(file);
        let place = || {
            let tag = blob.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            fs::create_dir_all(pointer.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            if pointer.symlink_metadata().is_ok() {
                fs::remove_file(&pointer)?;
            }
            let up = "../".repeat(2 + file.matches('/').count());
            let target = Path::new(&up).join("blobs").join(tag);
            // A system may not let this user make links: then the contents themselves take the name.
            symlink(&target, &pointer).or_else(|_| fs::rename(blob, &pointer))
        };
        place().map_err(Error::io(&pointer))
    }

    /// Points the revision's name to this commit.
    pub fn name_it(&self) -> Result<()> {
        if self.revision == self.commit {
            return Ok(());
        }
        write(&self.repository.join("refs").join(&self.revision), &self.commit)
    }
}

/// The weight files that an index names. They must not lead out of the repository.
pub(super) fn shards(file: &Path, text: &[u8]) -> Result<BTreeSet<String>> {
    let format = |what| Error::Format { file: file.into(), what };
    let index: Index =
        serde_json::from_slice(text).map_err(|error| format(format!("not an index of weights: {error}")))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|name| !is_inside(name)) {
        Some(name) => Err(format(format!("names a file outside of the repository: {name}"))),
        None => Ok(shards),
    }
}

#[cfg(unix)]
fn symlink(target: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, pointer)
}

#[cfg(windows)]
fn symlink(target: &Path, pointer: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, pointer)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let write = || {
        fs::create_dir_all(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        fs::write(path, text)
    };
    write().map_err(Error::io(path))
}

/// Visits all files below a directory. Links to directories are not followed.
pub(super) fn walk(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), visit),
            Ok(_) => visit(&entry.path()),
            Err(_) => {}
        }
    }
}

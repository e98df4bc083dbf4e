//! One commit of one repository in the cache, in the directory layout of the hub's own tools.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use super::{INDEX, OPTIONAL, REQUIRED, RepoSpec};
use crate::{Error, Result};

/// One commit of a repository in the cache, complete or not.
pub(super) struct Snapshot {
    cache: Cache,
    named: Repo,
    commit: String,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Snapshot {
    pub fn of(cache: &Path, spec: &RepoSpec, commit: String) -> Self {
        let named = Repo::with_revision(spec.name.clone(), RepoType::Model, spec.revision.clone());
        Self { cache: Cache::new(cache.into()), named, commit }
    }

    /// The cached commit of this revision's name, or the revision itself if it is a commit.
    pub fn cached(cache: &Path, spec: &RepoSpec) -> Option<Self> {
        let mut snapshot = Self::of(cache, spec, spec.revision.clone());
        if let Ok(commit) = fs::read_to_string(snapshot.repository().join("refs").join(&spec.revision)) {
            snapshot.commit = commit.trim().into();
        }
        snapshot.directory().is_dir().then_some(snapshot)
    }

    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The directory of the files under their own names.
    pub fn directory(&self) -> PathBuf {
        self.cache.repo(self.named.clone()).pointer_path(&self.commit)
    }

    fn repository(&self) -> PathBuf {
        self.cache.path().join(self.named.folder_name())
    }

    pub fn has(&self, file: &str) -> bool {
        self.directory().join(file).exists()
    }

    fn absence(&self, file: &str) -> PathBuf {
        self.repository().join(".no_exist").join(&self.commit).join(file)
    }

    /// Whether the hub answered before that this commit lacks the file.
    pub fn lacks(&self, file: &str) -> bool {
        self.absence(file).exists()
    }

    /// Records that the hub lacks the file, so that it is not requested again.
    pub fn mark_absent(&self, file: &str) -> Result<()> {
        let path = self.absence(file);
        let write = || {
            fs::create_dir_all(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            fs::write(&path, [])
        };
        write().map_err(Error::io(&path))
    }

    /// The weight files. Known once the index is downloaded or recorded as absent.
    pub fn weights(&self) -> Result<BTreeSet<String>> {
        let file = self.directory().join(INDEX);
        if !file.exists() {
            return Ok(BTreeSet::from(["model.safetensors".into()]));
        }
        let text = fs::read(&file).map_err(Error::io(&file))?;
        let index: Index = serde_json::from_slice(&text)
            .map_err(|error| Error::Format { file: file.clone(), what: format!("not an index of weights: {error}") })?;
        let shards: BTreeSet<String> = index.weight_map.into_values().collect();
        let inside = |name: &String| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        match shards.iter().find(|name| !inside(name)) {
            Some(name) => Err(Error::Format { file, what: format!("names a file outside of the repository: {name}") }),
            None => Ok(shards),
        }
    }

    /// Whether all required files are in the cache.
    pub fn is_usable(&self) -> bool {
        let weights = self.weights().is_ok_and(|files| !files.is_empty() && files.iter().all(|file| self.has(file)));
        weights && REQUIRED.iter().all(|file| self.has(file))
    }

    /// Whether every required or optional file is in the cache or recorded as absent.
    pub fn is_settled(&self) -> bool {
        self.is_usable() && OPTIONAL.iter().all(|file| self.has(file) || self.lacks(file))
    }

    /// Points the revision's name to this commit.
    pub fn name_it(&self) -> Result<()> {
        self.cache.repo(self.named.clone()).create_ref(&self.commit).map_err(Error::io(self.repository().join("refs")))
    }
}

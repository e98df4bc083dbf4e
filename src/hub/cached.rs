//! What is in the cache, whichever tool put it there, and how to remove it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    HubOptions, RepoSpec,
    listing::{GgufModel, choose},
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
    /// Bytes of its files.
    pub bytes: u64,
    /// When its newest file was written.
    pub modified: Option<SystemTime>,
    /// Whether all files that this engine needs are there.
    pub complete: bool,
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
        for (revision, snapshot) in snapshots {
            let named = RepoSpec { revision, ..spec.clone() };
            models.extend(models_of(&named, &snapshot));
        }
    }
    models.sort_by_key(|model| model.spec.to_string().to_lowercase());
    Ok(models)
}

/// A repository of which only parts of files have come.
fn unfinished(spec: RepoSpec, repository: PathBuf) -> Option<CachedModel> {
    let mut files = Vec::new();
    walk(&repository.join("blobs"), &mut |path| files.push(path.to_owned()));
    (!files.is_empty()).then(|| measured(spec, repository, &files, false))
}

/// The commits of a repository in the cache, each with a name for it.
fn snapshots(options: &HubOptions, spec: &RepoSpec) -> Vec<(String, Snapshot)> {
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
    let found: Vec<_> = files.iter().filter_map(|file| fs::metadata(file).ok()).collect();
    let bytes = found.iter().map(fs::Metadata::len).sum();
    let modified = found.iter().filter_map(|found| found.modified().ok()).max();
    CachedModel { spec, path, bytes, modified, complete }
}

/// Files of the cache that a removal deletes.
#[derive(Debug)]
pub struct Removal {
    repository: PathBuf,
    /// The names in snapshots; empty for a whole repository.
    pointers: BTreeSet<PathBuf>,
    /// The contents that no other name refers to.
    blobs: BTreeSet<PathBuf>,
    bytes: u64,
}

/// Finds what belongs to a model and to nothing else. `OWNER/NAME` is the whole repository, with all revisions.
///
/// # Errors
/// [`Error::Request`] if the cache does not have the model, or if it is being downloaded.
pub fn removal(spec: &RepoSpec, options: &HubOptions) -> Result<Removal> {
    let absent = || {
        let cache = options.cache.display();
        Error::Request(format!("{spec} is not in the cache at {cache}: `bimetal ls` lists what is there"))
    };
    let repository = options.cache.join(folder(&spec.name));
    if !repository.is_dir() {
        return Err(absent());
    }
    refuse_busy(spec, options)?;
    let all = snapshots(options, spec);
    if spec.choice == Choice::Default && spec.revision == MAIN {
        let mut bytes = 0;
        walk(&repository, &mut |path| {
            let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
            bytes += found.map_or(0, |found| found.len());
        });
        return Ok(Removal { repository, pointers: BTreeSet::new(), blobs: BTreeSet::new(), bytes });
    }
    let mut pointers = BTreeSet::new();
    for (revision, snapshot) in &all {
        if spec.revision == MAIN || [revision.as_str(), snapshot.commit()].contains(&spec.revision.as_str()) {
            pointers.extend(pointers_of(spec, snapshot)?);
        }
    }
    if pointers.is_empty() {
        return Err(absent());
    }
    let mut kept = BTreeSet::new();
    for (_, snapshot) in &all {
        walk(&snapshot.directory(), &mut |path| {
            if !pointers.contains(path) {
                kept.extend(fs::canonicalize(path).ok());
            }
        });
    }
    // A link may lead to another tool's place: only what is in this repository is deleted.
    let inside = fs::canonicalize(&repository).map_err(Error::io(&repository))?;
    let contents = pointers.iter().filter_map(|path| fs::canonicalize(path).ok());
    let blobs: BTreeSet<_> = contents.filter(|path| !kept.contains(path) && path.starts_with(&inside)).collect();
    let bytes = blobs.iter().map(|path| super::download::length(path)).sum();
    Ok(Removal { repository, pointers, blobs, bytes })
}

/// The names of a model's files in one snapshot.
fn pointers_of(spec: &RepoSpec, snapshot: &Snapshot) -> Result<Vec<PathBuf>> {
    let directory = snapshot.directory();
    if spec.choice == Choice::Default {
        let mut files = Vec::new();
        walk(&directory, &mut |path| files.push(path.to_owned()));
        return Ok(files);
    }
    let models = snapshot.gguf_models();
    let model = if models.is_empty() { None } else { choose(spec, &models)? };
    let files = model.into_iter().flat_map(|model| model.files).map(|file| directory.join(file));
    Ok(files.filter(|path| path.symlink_metadata().is_ok()).collect())
}

fn refuse_busy(spec: &RepoSpec, options: &HubOptions) -> Result<()> {
    let locks = options.cache.join(".locks").join(folder(&spec.name));
    let mut busy = None;
    walk(&locks, &mut |path| {
        if let Ok(lock) = File::open(path)
            && matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
        {
            busy = Some(path.to_owned());
        }
    });
    match busy {
        None => Ok(()),
        Some(path) => {
            let lock = path.display();
            Err(Error::Request(format!("another process is downloading {spec} (it holds {lock}): wait for it")))
        }
    }
}

impl Removal {
    /// The bytes that it frees.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Deletes the files, and the directories and revision names that have nothing left.
    ///
    /// # Errors
    /// [`Error::Io`] for the first file that cannot be deleted.
    pub fn run(self) -> Result<()> {
        if self.pointers.is_empty() {
            return delete_repository(&self.repository);
        }
        for path in self.pointers.iter().chain(&self.blobs) {
            match fs::remove_file(path) {
                // Without links, a name in a snapshot is the contents.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path)(error)),
                _ => {}
            }
        }
        let snapshots = self.repository.join("snapshots");
        let mut left = 0;
        for entry in fs::read_dir(&snapshots).into_iter().flatten().flatten() {
            let mut files = 0;
            walk(&entry.path(), &mut |_| files += 1);
            match files {
                0 => self.forget(&entry.path())?,
                _ => left += 1,
            }
        }
        if left == 0 { delete_repository(&self.repository) } else { Ok(()) }
    }

    /// Deletes an empty snapshot and its names.
    fn forget(&self, snapshot: &Path) -> Result<()> {
        let commit = snapshot.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        walk(&self.repository.join("refs"), &mut |path| {
            if fs::read_to_string(path).is_ok_and(|text| text.trim() == commit) {
                let _ = fs::remove_file(path);
            }
        });
        let _ = fs::remove_dir_all(self.repository.join(".no_exist").join(commit));
        fs::remove_dir_all(snapshot).map_err(Error::io(snapshot))
    }
}

fn delete_repository(repository: &Path) -> Result<()> {
    fs::remove_dir_all(repository).map_err(Error::io(repository))?;
    if let Some((cache, name)) = repository.parent().zip(repository.file_name()) {
        let _ = fs::remove_dir_all(cache.join(".locks").join(name));
    }
    Ok(())
}

//! Removes models from the cache.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::{
    HubOptions, RepoSpec,
    cached::snapshots,
    download::length,
    listing::{choose, fitting},
    snapshot::{Snapshot, folder, walk},
    spec::{Choice, MAIN},
};
use crate::{Error, Result};

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
        let bytes = files_bytes(&repository);
        return Ok(Removal { repository, pointers: BTreeSet::new(), blobs: BTreeSet::new(), bytes });
    }
    let is_meant = |revision: &str, snapshot: &Snapshot| {
        spec.revision == MAIN || revision == spec.revision || snapshot.is_named(&spec.revision)
    };
    let (mut pointers, mut without) = (BTreeSet::new(), None);
    for (_, snapshot) in all.iter().filter(|(revision, snapshot)| is_meant(revision, snapshot)) {
        match pointers_of(spec, snapshot)? {
            found if found.is_empty() => without = without.or(Some(snapshot)),
            found => pointers.extend(found),
        }
    }
    if pointers.is_empty() {
        // The error lists the models that a revision has instead.
        let models = without.map(Snapshot::gguf_models).filter(|models| !models.is_empty());
        return Err(models.and_then(|models| choose(spec, &models).err()).unwrap_or_else(absent));
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
    let bytes = blobs.iter().map(|path| length(path)).sum();
    Ok(Removal { repository, pointers, blobs, bytes })
}

/// The bytes of all files below a directory. Links have none.
fn files_bytes(directory: &Path) -> u64 {
    let mut bytes = 0;
    walk(directory, &mut |path| {
        let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
        bytes += found.map_or(0, |found| found.len());
    });
    bytes
}

/// The names of a model's files in one snapshot; none if it lacks the model.
///
/// # Errors
/// [`Error::Download`] if the model may be one of several.
fn pointers_of(spec: &RepoSpec, snapshot: &Snapshot) -> Result<Vec<PathBuf>> {
    let directory = snapshot.directory();
    if spec.choice == Choice::Default {
        let mut files = Vec::new();
        walk(&directory, &mut |path| files.push(path.to_owned()));
        return Ok(files);
    }
    let models = snapshot.gguf_models();
    if fitting(spec, &models).is_empty() {
        return Ok(Vec::new());
    }
    let files = choose(spec, &models)?.into_iter().flat_map(|model| model.files).map(|file| directory.join(file));
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

    /// Whether it deletes a whole repository, with all revisions and quantizations.
    pub fn is_whole(&self) -> bool {
        self.pointers.is_empty()
    }

    /// Deletes the files, and the directories and revision names that have nothing left.
    ///
    /// # Errors
    /// [`Error::Io`] for the first file that cannot be deleted.
    pub fn run(self) -> Result<()> {
        if self.is_whole() {
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

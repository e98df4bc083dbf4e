//! Brings a model into the cache: which files it needs, and which of them are missing.

use std::{collections::BTreeSet, path::PathBuf};

use super::{
    DownloadEvent, HubOptions, INDEX, OPTIONAL, Progress, REQUIRED, RepoSpec, WEIGHTS,
    client::{Failure, Refusal},
    download::{is_complete, length, partial},
    explain::failed,
    listing::{GgufModel, Listing, choose, gguf_models},
    remote::{Metadata, Remote},
    snapshot::Snapshot,
    spec::Choice,
};
use crate::{Error, Result};

/// Says that a model is not in the cache.
pub(super) const NOT_HERE: &str = "it is not in the cache";

/// A model in a repository.
pub(super) enum Contents {
    /// A directory of a configuration, a tokenizer and safetensors files.
    Directory,
    Gguf(GgufModel),
}

/// Downloads the missing files of `spec`, resuming broken ones. Returns the path to open: the directory of the complete
/// snapshot, or a GGUF file in it.
///
/// A model already in the cache is not updated from the hub: see [`pull`].
///
/// # Errors
/// [`Error::Download`] with the file, the cause and the remedy; [`Error::Io`] and [`Error::Format`] for the cache.
pub fn fetch(spec: &RepoSpec, options: &HubOptions, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let cached = Snapshot::cached(&options.cache, spec);
    if let Some(path) = cached.as_ref().and_then(|snapshot| complete(spec, snapshot, options.offline)) {
        return Ok(path);
    }
    if options.offline {
        let cache = options.cache.display();
        let why = format!("{NOT_HERE} at {cache}, and {}, or name a model that is there", options.refusal());
        return Err(failed(spec, "", why));
    }
    let usable = cached.as_ref().filter(|snapshot| spec.choice == Choice::Default && snapshot.is_usable());
    let usable = usable.map(Snapshot::directory);
    let revision = cached.map_or_else(|| spec.revision.clone(), |snapshot| snapshot.commit().to_owned());
    match (bring(&mut Remote::new(spec, options, progress)?, &revision, Files::Missing), usable) {
        (Err(error), Some(directory)) => {
            log::warn!("{spec}: using the cached files: {error}");
            Ok(directory)
        }
        (outcome, _) => outcome,
    }
}

/// Like [`fetch`], but asks the hub for the newest commit of the revision, and checks the size of every file.
///
/// # Errors
/// Those of [`fetch`].
pub fn pull(spec: &RepoSpec, options: &HubOptions, progress: &mut Progress<'_>) -> Result<PathBuf> {
    if options.offline {
        return Err(failed(spec, "", options.refusal()));
    }
    bring(&mut Remote::new(spec, options, progress)?, &spec.revision, Files::All)
}

/// The model's path, if the snapshot has everything it needs. `lenient` does without optional files.
pub(super) fn complete(spec: &RepoSpec, snapshot: &Snapshot, lenient: bool) -> Option<PathBuf> {
    let directory = snapshot.directory();
    let settled = if lenient { snapshot.is_usable() } else { snapshot.is_settled() };
    match &spec.choice {
        Choice::Default if settled => return Some(directory),
        Choice::Default if snapshot.is_usable() => return None,
        _ => {}
    }
    // The name alone means a GGUF file only where there are no safetensors files.
    if spec.choice == Choice::Default && !lenient && ![WEIGHTS, INDEX].iter().all(|file| snapshot.lacks(file)) {
        return None;
    }
    let model = choose(spec, &snapshot.gguf_models()).ok().flatten()?;
    model.files.iter().all(|file| snapshot.has(file)).then(|| directory.join(model.name()))
}

/// The files to ask the hub about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    /// Those that the cache lacks.
    Missing,
    All,
}

fn bring(remote: &mut Remote<'_, '_>, revision: &str, files: Files) -> Result<PathBuf> {
    let cache = &remote.options.cache;
    brought(remote, revision, files).map_err(|error| match error {
        Error::Io { path, source } if path.starts_with(cache) => remote.explain("", Failure::Local(source)),
        other => other,
    })
}

fn brought(remote: &mut Remote<'_, '_>, revision: &str, files: Files) -> Result<PathBuf> {
    let listing = remote.listing(revision)?;
    let contents = contents(remote.spec, listing.as_ref())?;
    let commit = commit(remote, revision, listing.as_ref(), &contents)?;
    let snapshot = Snapshot::of(&remote.options.cache, remote.spec, commit);
    let path = match &contents {
        Contents::Directory => snapshot.directory(),
        Contents::Gguf(model) => snapshot.directory().join(model.name()),
    };
    let mut wanted = Vec::new();
    for file in needed(remote, &snapshot, contents, listing.as_ref())? {
        if files == Files::All || !snapshot.has(&file) {
            want(remote, &snapshot, file, &mut wanted)?;
        }
    }
    receive(remote, &snapshot, &wanted)?;
    // Write the revision's name last, so that it never points to an incomplete model.
    snapshot.name_it()?;
    Ok(path)
}

/// The commit of all files: a push during the download must not mix two models.
pub(super) fn commit(
    remote: &mut Remote<'_, '_>,
    revision: &str,
    listing: Option<&Listing>,
    contents: &Contents,
) -> Result<String> {
    if let Some(listing) = listing {
        return Ok(listing.commit.clone());
    }
    let file = if let Contents::Gguf(model) = contents { model.name() } else { REQUIRED[0] };
    remote.metadata_of(revision, file).map(|metadata| metadata.commit)
}

/// What the repository holds of the model.
pub(super) fn contents(spec: &RepoSpec, listing: Option<&Listing>) -> Result<Contents> {
    let Some(listing) = listing else {
        return match &spec.choice {
            Choice::Default => Ok(Contents::Directory),
            Choice::File(file) => Ok(Contents::Gguf(GgufModel::of(file))),
            Choice::Quantization(_) => {
                let why = "this hub has no list of the repository's files: check the name, or name the file itself, as \
                           OWNER/NAME/FILE.gguf";
                Err(failed(spec, "", why.into()))
            }
        };
    };
    let directory = listing.has(WEIGHTS) || listing.has(INDEX);
    if spec.choice == Choice::Default && directory {
        return Ok(Contents::Directory);
    }
    let models = gguf_models(listing.files.iter().map(|(file, bytes)| (file.as_str(), *bytes)));
    match choose(spec, &models)? {
        Some(model) => match model.files.iter().find(|file| !listing.has(file)) {
            None => Ok(Contents::Gguf(model)),
            Some(missing) => Err(absent(spec, missing, &models)),
        },
        None => {
            let why =
                format!("the repository has neither {WEIGHTS} nor a GGUF file: it is not a model in a supported form");
            Err(failed(spec, "", why))
        }
    }
}

fn absent(spec: &RepoSpec, file: &str, models: &[GgufModel]) -> Error {
    let names: Vec<_> = models.iter().map(GgufModel::name).collect();
    let there = if names.is_empty() { "no GGUF file".into() } else { names.join(", ") };
    failed(spec, file, format!("the repository has no such file. It has {there}"))
}

/// The files of the model, in the order of their download.
fn needed(
    remote: &mut Remote<'_, '_>,
    snapshot: &Snapshot,
    contents: Contents,
    listing: Option<&Listing>,
) -> Result<Vec<String>> {
    if let Contents::Gguf(model) = contents {
        for file in [WEIGHTS, INDEX] {
            if listing.is_some_and(|listing| !listing.has(file)) {
                snapshot.mark_absent(file)?;
            }
        }
        return Ok(model.files);
    }
    let mut files: Vec<String> = REQUIRED.map(str::to_owned).into();
    for file in OPTIONAL {
        match listing.is_some_and(|listing| !listing.has(file)) {
            true => snapshot.mark_absent(file)?,
            false if snapshot.lacks(file) => {}
            false => files.push(file.to_owned()),
        }
    }
    files.extend(weights(remote, snapshot, listing)?);
    files.retain(|file| !snapshot.lacks(file));
    Ok(files)
}

/// The weight files of a directory. The index, which names them, is downloaded.
fn weights(remote: &mut Remote<'_, '_>, snapshot: &Snapshot, listing: Option<&Listing>) -> Result<BTreeSet<String>> {
    let there = listing.is_none_or(|listing| listing.has(INDEX)) && !snapshot.lacks(INDEX);
    if there && !snapshot.has(INDEX) {
        match remote.metadata(snapshot.commit(), INDEX)? {
            Some(metadata) => remote.download(snapshot, INDEX, &metadata)?,
            None => snapshot.mark_absent(INDEX)?,
        }
    }
    snapshot.weights()
}

/// Adds a file to the wanted ones, with what the hub says about it.
fn want(
    remote: &mut Remote<'_, '_>,
    snapshot: &Snapshot,
    file: String,
    wanted: &mut Vec<(String, Metadata)>,
) -> Result<()> {
    match remote.metadata(snapshot.commit(), &file)? {
        Some(metadata) => wanted.push((file, metadata)),
        None if OPTIONAL.contains(&file.as_str()) => snapshot.mark_absent(&file)?,
        None => {
            let gone = Failure::Refused(Refusal { status: 404, code: Some("EntryNotFound".into()), pause: None });
            return Err(remote.explain(&file, gone));
        }
    }
    Ok(())
}

fn receive(remote: &mut Remote<'_, '_>, snapshot: &Snapshot, wanted: &[(String, Metadata)]) -> Result<()> {
    let left = |metadata: &Metadata| {
        let blob = snapshot.blob(&metadata.tag);
        let whole = is_complete(&blob, metadata.size);
        (!whole).then(|| metadata.size.saturating_sub(length(&partial(&blob))))
    };
    let sizes: Vec<u64> = wanted.iter().filter_map(|(_, metadata)| left(metadata)).collect();
    let (model, bytes) = (remote.spec.to_string(), sizes.iter().sum());
    if !sizes.is_empty() {
        let directory = &remote.options.cache;
        (remote.progress)(DownloadEvent::Begin { model: &model, files: sizes.len(), bytes, directory });
    }
    for (file, metadata) in wanted {
        remote.download(snapshot, file, metadata)?;
    }
    if !sizes.is_empty() {
        (remote.progress)(DownloadEvent::End { model: &model, bytes });
    }
    Ok(())
}

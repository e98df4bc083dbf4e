//! Where a model is: on this machine, or on the hub, from which it is downloaded.

use std::path::{Path, PathBuf};

use bimetal::{
    Checkpoint, Result,
    low_level::{
        hub::{self, HubOptions, RemoteFile, RemoteModel, RepoSpec},
        model::checkpoint::{HeadFile, Summary},
    },
};

use super::progress::Download;

/// The path of a model, which is downloaded from the hub if needed.
pub fn path(model: &Path) -> Result<PathBuf> {
    // A path may be no UTF-8; names on the hub are ASCII.
    let Some(model) = model.to_str() else { return Ok(model.into()) };
    let hidden = hub::on_hub(model).is_some() && HubOptions::from_environment()?.hide_bars;
    let mut download = Download::new(hidden);
    hub::locate(model, &mut |event| download.show(event))
}

/// The contents of a model. Of one on the hub that is not here, only headers are read.
pub fn summary(model: &Path) -> Result<Summary> {
    let Some(spec) = model.to_str().and_then(hub::on_hub) else { return opened(model.into()) };
    let options = HubOptions::from_environment()?;
    let mut download = Download::new(true);
    match hub::inspect(&spec, &options, &mut |event| download.show(event))? {
        RemoteModel::Here(path) => opened(path),
        RemoteModel::Safetensors { config, mut files } => Summary::of_safetensors(&config, heads(&spec, &mut files)),
        RemoteModel::Gguf(mut files) => Summary::of_gguf(heads(&spec, &mut files)),
    }
}

fn opened(path: PathBuf) -> Result<Summary> {
    let checkpoint = Checkpoint::open(&path)?;
    checkpoint.check()?;
    Ok(checkpoint.summary())
}

/// Files on the hub, to read their headers from.
fn heads<'f>(spec: &RepoSpec, files: &'f mut [RemoteFile<'_>]) -> Vec<HeadFile<'f>> {
    let head = |file: &'f mut RemoteFile<'_>| HeadFile {
        path: PathBuf::from(spec.repository()).join(&file.name),
        length: file.length,
        read: Box::new(|bytes| file.first(bytes)),
    };
    files.iter_mut().map(head).collect()
}

//! Reads GGUF files: the container, the configuration from its keys, the tensors, and the tokenizer from its keys.
//!
//! Small tensors return to the form of other checkpoints: norm weights lose their added one, and −exp(A_log) becomes
//! A_log. Value heads stay tiled, as the configuration says: matrix columns cannot move where heads share a block.
//! Large matrices are used as stored.

mod container;
mod cursor;
mod kind;
mod parts;
mod settings;
mod small;
mod text;
mod value;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    bytes::Bytes,
    directory::{Files, Shard, Stored},
    encoding::Encoding,
    names::{self, Names},
};
use crate::{Result, model::config::Config};
use container::Tensor;
use cursor::Checked;
pub(super) use kind::{Kind, READ};
use parts::PartFile;
use settings::Keys;
pub(super) use text::side_file;
pub(super) use value::Value;

/// The keys of a file.
pub(super) type Values = BTreeMap<String, Value>;

/// The contents of a file.
pub(super) struct Opened {
    pub(super) config: Config,
    pub(super) files: Files,
    pub(super) names: Names,
    pub(super) values: Values,
}

/// Whether the first bytes are those of a GGUF file.
pub(super) fn is_gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(&container::MAGIC)
}

/// Opens the file at `path`, whose contents are `bytes`, and the other parts of its model.
pub(super) fn open(bytes: Bytes, path: &Path) -> Result<Opened> {
    assemble(parts::all(PartFile::read(bytes, path.into())?)?)
}

/// Opens a model whose files are elsewhere, by the first bytes of each file, in order.
pub(super) fn heads(heads: Vec<(PathBuf, Bytes)>) -> Result<Opened> {
    let parts: Result<Vec<_>> = heads.into_iter().map(|(path, bytes)| PartFile::read(bytes, path)).collect();
    assemble(parts?)
}

/// Whether these first bytes of a file of `length` bytes have the whole header.
pub(super) fn has_header(bytes: &[u8], length: u64) -> bool {
    container::read(bytes, length).is_ok()
}

/// Gives each tensor its usual name.
fn usual_names(tensors: BTreeMap<String, Tensor>) -> Checked<BTreeMap<String, Tensor>> {
    let mut renamed = BTreeMap::new();
    for (name, tensor) in tensors {
        let usual = names::usual(&name).into_owned();
        if renamed.insert(usual.clone(), tensor).is_some() {
            return Err(format!("tensor {usual} is there twice: another spelling of it is {name}"));
        }
    }
    Ok(renamed)
}

fn assemble(parts: Vec<PartFile>) -> Result<Opened> {
    let parts::Model { mut shards, values, tensors } = parts::unite(parts)?;
    let keys = Keys { values: &values, file: &shards[0].path, bytes: shards[0].bytes.as_slice() };
    keys.require_model()?;
    let tensors = usual_names(tensors).map_err(|what| keys.format(what))?;
    let (config, mtp) = settings::config(keys, &tensors)?;
    let (mut small, mut stored) = (Vec::new(), BTreeMap::new());
    for (name, tensor) in tensors {
        let mut slot = Stored {
            shard: tensor.file,
            encoding: Encoding::Gguf(tensor.kind),
            shape: settings::shape(&name, tensor.shape),
            range: tensor.range,
        };
        let Shard { path, bytes, .. } = &shards[tensor.file];
        if !matches!(bytes, Bytes::Head(..))
            && let Some(values) = small::converted(&name, &slot, bytes.as_slice(), path)?
        {
            let start = small.len();
            small.extend(values);
            slot =
                Stored { shard: shards.len(), encoding: Encoding::Gguf(Kind::F32), range: start..small.len(), ..slot };
        }
        stored.insert(name, slot);
    }
    let path = shards[0].path.clone();
    shards.push(Shard { path, bytes: Bytes::Memory(Cow::Owned(small)), quantized: None });
    Ok(Opened { config, files: Files { shards, stored }, names: Names::Gguf { mtp }, values })
}

//! Reads GGUF files: the container, the configuration from its keys, the tensors, and the tokenizer from its keys.
//!
//! Small tensors return to the form of other checkpoints: norm weights lose their added one, and −exp(A_log) becomes
//! A_log. Value heads stay tiled, as the configuration says: matrix columns cannot move where heads share a block.
//! Large matrices are used as stored.

mod container;
mod cursor;
mod kind;
mod settings;
mod small;
mod text;
mod value;

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use super::{
    bytes::Bytes,
    directory::{Files, Shard, Stored},
    encoding::Encoding,
    names::{self, Names},
};
use crate::{Error, Result, model::config::Config};
use container::Tensor;
use cursor::Checked;
pub(super) use kind::{Kind, READ};
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

/// Opens the file at `path`, whose contents are `bytes`.
pub(super) fn open(bytes: Bytes, path: &Path) -> Result<Opened> {
    let read = container::read(bytes.as_slice());
    let format = |what| Error::Format { file: path.into(), what };
    let mut container = read.map_err(format)?;
    container.tensors = usual_names(container.tensors).map_err(format)?;
    let keys = Keys { values: &container.values, file: path, bytes: bytes.as_slice() };
    keys.require_model()?;
    let (config, mtp) = settings::config(keys, &container.tensors)?;
    let mut small = Vec::new();
    let mut stored = BTreeMap::new();
    for (name, tensor) in container.tensors {
        let mut slot = Stored {
            shard: 0,
            encoding: Encoding::Gguf(tensor.kind),
            shape: settings::shape(&name, tensor.shape),
            range: tensor.range,
        };
        if let Some(values) = small::converted(&name, &slot, bytes.as_slice(), path)? {
            let start = small.len();
            small.extend(values);
            slot = Stored { shard: 1, encoding: Encoding::Gguf(Kind::F32), range: start..small.len(), ..slot };
        }
        stored.insert(name, slot);
    }
    let shard = |bytes| Shard { path: path.into(), bytes, quantized: None };
    let shards = vec![shard(bytes), shard(Bytes::Memory(Cow::Owned(small)))];
    Ok(Opened { config, files: Files { shards, stored }, names: Names::Gguf { mtp }, values: container.values })
}

//! Models in several files: `NAME-00001-of-00003.gguf` and so on. The first file has the keys of the model.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Values,
    container::{self, Container, Tensor},
    settings::Keys,
};
use crate::{
    Error, Result,
    model::checkpoint::{bytes::Bytes, directory::Shard},
};

const COUNT: &str = "split.count";
const NUMBER: &str = "split.no";
const TENSORS: &str = "split.tensors.count";

/// One file of a model.
pub(super) struct PartFile {
    path: PathBuf,
    bytes: Bytes,
    container: Container,
}

/// The files of a model, and what they hold together.
pub(super) struct Model {
    pub(super) shards: Vec<Shard>,
    pub(super) values: Values,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl PartFile {
    pub(super) fn read(bytes: Bytes, path: PathBuf) -> Result<PartFile> {
        match container::read(bytes.as_slice(), bytes.length()) {
            Ok(container) => Ok(PartFile { path, bytes, container }),
            Err(what) => Err(Error::Format { file: path, what }),
        }
    }

    fn keys(&self) -> Keys<'_> {
        Keys { values: &self.container.values, file: &self.path, bytes: self.bytes.as_slice() }
    }

    /// The number of files of its model.
    fn count(&self) -> Result<u32> {
        Ok(self.keys().optional(COUNT)?.unwrap_or(1).max(1))
    }

    /// Checks that this is the file `number` of `count`, counted from 0.
    fn check(&self, number: u32, count: u32) -> Result<()> {
        for (key, want) in [(COUNT, count), (NUMBER, number)] {
            let found = self.keys().number(key)?;
            if found != want {
                return Err(self.keys().bad(key, format_args!("{want}, as the name of the file says"), found));
            }
        }
        Ok(())
    }
}

/// All files of the model that one file belongs to, in order.
pub(super) fn all(opened: PartFile) -> Result<Vec<PartFile>> {
    let count = opened.count()?;
    if count == 1 {
        return Ok(vec![opened]);
    }
    let number = opened.keys().number(NUMBER)?;
    let Some(stem) = stem(&opened.path, number, count) else {
        let want = format!("-{:05}-of-{count:05}.gguf", u64::from(number) + 1);
        let what = format!("this is part {} of {count} of a model: expected a name that ends in {want}", number + 1);
        return Err(opened.keys().format(what));
    };
    let (directory, mut opened) = (opened.path.parent().unwrap_or(Path::new("")).to_owned(), Some(opened));
    let mut parts = Vec::new();
    for at in 0..count {
        let part = match opened.take_if(|_| at == number) {
            Some(part) => part,
            None => {
                let path = directory.join(format!("{stem}-{:05}-of-{count:05}.gguf", at + 1));
                if !path.exists() {
                    let what = format!("part {} of {count} is missing: all parts belong in one directory", at + 1);
                    return Err(Error::Format { file: path, what });
                }
                PartFile::read(Bytes::map(&path)?, path)?
            }
        };
        parts.push(part);
    }
    Ok(parts)
}

/// The tensors of all files, and the keys of the first.
pub(super) fn unite(parts: Vec<PartFile>) -> Result<Model> {
    let (count, mut tensors) = (parts.len() as u32, BTreeMap::new());
    let whole = parts[0].count()?;
    if whole != count {
        let what = format!("key {COUNT}: the model has {whole} files, found {count}");
        return Err(parts[0].keys().format(what));
    }
    let total = parts[0].keys().optional(TENSORS)?;
    let (mut shards, mut values) = (Vec::new(), None);
    for (number, part) in parts.into_iter().enumerate() {
        if count > 1 {
            part.check(number as u32, count)?;
        }
        for (name, tensor) in part.container.tensors {
            if tensors.contains_key(&name) {
                let what = format!("tensor {name} is in another part of the model too");
                return Err(Error::Format { file: part.path, what });
            }
            tensors.insert(name, Tensor { file: number, ..tensor });
        }
        values.get_or_insert(part.container.values);
        shards.push(Shard { path: part.path, bytes: part.bytes, quantized: None });
    }
    let found = tensors.len() as u32;
    if let Some(total) = total.filter(|total| *total != found) {
        let what = format!("key {TENSORS}: the model has {total} tensors, its parts have {found}");
        return Err(Error::Format { file: shards[0].path.clone(), what });
    }
    Ok(Model { shards, values: values.unwrap_or_default(), tensors })
}

/// The name of a part before its number.
fn stem(path: &Path, number: u32, count: u32) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let end = format!("-{:05}-of-{count:05}.gguf", number.checked_add(1)?);
    name.strip_suffix(&end).map(str::to_owned)
}

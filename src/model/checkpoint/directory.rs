//! The files of a checkpoint directory, and the tensors in each weight file.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    bytes::Bytes,
    encoding::Encoding,
    gguf,
    header::{self, Header, Slot},
    names::{Names, PREFIXES},
    summary::Skipped,
};
use crate::{Error, Result, compute::dtype::DType};

pub(super) const CONFIG: &str = "config.json";
pub(crate) const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The name of the only weight file of the official small checkpoints.
const ONE_OF_ONE: &str = "model.safetensors-00001-of-00001.safetensors";

/// Limits of files read into memory. Official sizes: config 3 kB, index 100 kB, tokenizer 13 MB.
const CONFIG_LIMIT: u64 = 1 << 20;
const INDEX_LIMIT: u64 = 16 << 20;
const SIDE_LIMIT: u64 = 64 << 20;

/// The weight files, and their tensors by full name.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) shards: Vec<Shard>,
    pub(super) stored: BTreeMap<String, Stored>,
}

/// One weight file.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
    /// The format of its quantized weights.
    pub(super) quantized: Option<DType>,
}

/// One tensor in a weight file.
#[derive(Debug)]
pub(super) struct Stored {
    /// Index into [`Files::shards`].
    pub(super) shard: usize,
    pub(super) encoding: Encoding,
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Maps the weights of `dir`. As in transformers, a single file wins over an index.
    pub(super) fn open(dir: &Path) -> Result<Files> {
        if dir.join(SINGLE).exists() {
            return Files::single(dir.join(SINGLE));
        }
        if let Some(index) = read(&dir.join(INDEX), INDEX_LIMIT)? {
            return Files::sharded(dir, &index);
        }
        if dir.join(ONE_OF_ONE).exists() {
            return Files::single(dir.join(ONE_OF_ONE));
        }
        let what = match first_with_extension(dir, "safetensors") {
            Some(name) => format!("found {name}, but neither {SINGLE} nor {INDEX}, which says what is in which file"),
            None => format!("no weights here: expected {SINGLE}, or {INDEX} and its files"),
        };
        Err(Error::Format { file: dir.into(), what })
    }

    /// One file in memory; `path` is its name in messages.
    pub(super) fn memory(bytes: Cow<'static, [u8]>, path: PathBuf) -> Result<Files> {
        Files::whole(Shard { path, bytes: Bytes::Memory(bytes), quantized: None })
    }

    /// Files that are elsewhere, by the first bytes of each.
    pub(super) fn heads(heads: Vec<(PathBuf, Bytes)>) -> Result<Files> {
        let mut files = Files { shards: Vec::new(), stored: BTreeMap::new() };
        for (number, (path, bytes)) in heads.into_iter().enumerate() {
            let Header { slots, quantized } = header::read(&bytes, &path)?;
            for (name, slot) in slots {
                if files.stored.insert(name.clone(), Stored::new(number, slot)).is_some() {
                    return Err(Error::Format { file: path, what: format!("tensor {name} is in another file too") });
                }
            }
            files.shards.push(Shard { path, bytes, quantized });
        }
        Ok(files)
    }

    /// The bytes of a stored tensor.
    pub(super) fn data(&self, stored: &Stored) -> &[u8] {
        self.shards[stored.shard].bytes.part(stored.range.clone())
    }

    /// The quantized format of the file of a stored tensor, if the tensor is a plane.
    pub(super) fn quantized(&self, stored: &Stored) -> Option<DType> {
        self.shards[stored.shard].quantized.filter(|_| stored.encoding.is_bytes())
    }

    fn single(path: PathBuf) -> Result<Files> {
        Files::whole(Shard::open(path)?)
    }

    fn whole(shard: Shard) -> Result<Files> {
        let Header { slots, quantized } = header::read(&shard.bytes, &shard.path)?;
        let shard = Shard { quantized, ..shard };
        let stored = slots.into_iter().map(|(name, slot)| (name, Stored::new(0, slot))).collect();
        Ok(Files { shards: vec![shard], stored })
    }

    /// The tensors of the index, each from its named file.
    fn sharded(dir: &Path, index: &[u8]) -> Result<Files> {
        let format = |what| Error::Format { file: dir.join(INDEX), what };
        let index: Index = serde_json::from_slice(index).map_err(|why| format(format!("unusable index: {why}")))?;
        let names = Names::Prefixed(PREFIXES[1]);
        let beside = |name: &str| matches!(names.skipped(name), Some(Skipped::Vision | Skipped::Mtp));
        let needed: BTreeSet<&String> =
            index.weight_map.iter().filter(|(name, _)| !beside(name)).map(|(_, shard)| shard).collect();
        let mut shards = Vec::new();
        let mut slots = Vec::new();
        let mut numbers = BTreeMap::new();
        let mut stored = BTreeMap::new();
        for (name, shard) in &index.weight_map {
            if !numbers.contains_key(shard) {
                let path = plain(dir, shard).map_err(&format)?;
                if !path.exists() && !needed.contains(shard) {
                    continue;
                }
                if !path.exists() {
                    return Err(format(format!(
                        "names the file {shard}, which is not there: the checkpoint is incomplete"
                    )));
                }
                let opened = Shard::open(path)?;
                let header = header::read(&opened.bytes, &opened.path)?;
                slots.push(header.slots);
                numbers.insert(shard, shards.len());
                shards.push(Shard { quantized: header.quantized, ..opened });
            }
            let number = numbers[shard];
            match slots[number].remove(name) {
                Some(slot) => drop(stored.insert(name.clone(), Stored::new(number, slot))),
                // Some tools drop these parts from the files but leave them in the index.
                None if names.skipped(name).is_some() => {}
                None => return Err(format(format!("places tensor {name} in {shard}, which does not hold it"))),
            }
        }
        Ok(Files { shards, stored })
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Shard> {
        // Opening a pipe would wait forever.
        if !fs::metadata(&path).map_err(Error::io(&path))?.is_file() {
            return Err(Error::Format { file: path, what: "expected a file of weights".into() });
        }
        Ok(Shard { bytes: Bytes::map(&path)?, path, quantized: None })
    }
}

impl Stored {
    fn new(shard: usize, slot: Slot) -> Stored {
        Stored { shard, encoding: Encoding::Safetensors(slot.dtype), shape: slot.shape, range: slot.range }
    }
}

/// The text of config.json; an error if `dir` is not a checkpoint directory.
pub(super) fn config(dir: &Path) -> Result<Vec<u8>> {
    let format = |what: String| Error::Format { file: dir.into(), what };
    let wanted = "the directory of a checkpoint (config.json, model.safetensors, tokenizer.json) or a GGUF file";
    match fs::metadata(dir) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            return Err(format(format!("no such directory: expected {wanted}")));
        }
        Err(why) => return Err(Error::io(dir)(why)),
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(format(format!("found a file, expected {wanted}"))),
    }
    if let Some(config) = read(&dir.join(CONFIG), CONFIG_LIMIT)? {
        return Ok(config);
    }
    match first_with_extension(dir, "gguf") {
        Some(name) => Err(format(format!("no {CONFIG} here, but a GGUF file: give the file itself, {name}"))),
        None => Err(format(format!("no {CONFIG} here: expected {wanted}"))),
    }
}

/// A small file of `dir`, if it exists.
pub(super) fn side_file(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = plain(dir, name).map_err(|what| Error::Format { file: dir.into(), what })?;
    read(&path, SIDE_LIMIT)
}

/// Begins the text of a file that Git LFS has not fetched.
pub(super) const POINTER: &[u8] = b"version https://git-lfs";
pub(super) const POINTED: &str = "a Git LFS pointer stands in for the file: fetch it with `git lfs pull`";

/// Some editors write it before a UTF-8 text. It is no part of the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The whole text file at `path`, if it exists and has at most `limit` bytes, without a byte order mark.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let format = |what: String| Error::Format { file: path.into(), what };
    match fs::metadata(path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(Error::io(path)(why)),
        Ok(found) if !found.is_file() => return Err(format("expected a file".into())),
        Ok(_) => {}
    }
    let mut contents = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(limit + 1).read_to_end(&mut contents).map_err(Error::io(path))?;
    if contents.len() as u64 > limit {
        return Err(format(format!("found more than {limit} bytes, expected at most that")));
    }
    if contents.starts_with(BYTE_ORDER_MARK) {
        contents.drain(..BYTE_ORDER_MARK.len());
    }
    if contents.starts_with(POINTER) {
        return Err(format(POINTED.into()));
    }
    if contents.starts_with(b"\xff\xfe") || contents.starts_with(b"\xfe\xff") {
        return Err(format("found a text in UTF-16, expected UTF-8: save it in that encoding".into()));
    }
    Ok(Some(contents))
}

/// The path of `name` inside `dir`. An index is not trusted: it must not lead out of the directory.
fn plain(dir: &Path, name: &str) -> std::result::Result<PathBuf, String> {
    let outside = matches!(name, "" | "." | "..") || name.contains(['/', '\\', ':', '\0']);
    if outside { Err(format!("{name:?} is not the name of a file in the same directory")) } else { Ok(dir.join(name)) }
}

/// Whether this is a GGUF file, by its name or its first bytes.
pub(super) fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let mut magic_fits =
        || File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok() && gguf::is_gguf(&magic));
    path.is_file() && (has_extension(path, "gguf") || magic_fits())
}

/// The first file name, in order, with this extension.
fn first_with_extension(dir: &Path, extension: &str) -> Option<String> {
    let paths = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let names = paths
        .filter(|path| has_extension(path, extension))
        .filter_map(|path| path.file_name().map(|name| name.to_owned()));
    names.map(|name| name.to_string_lossy().into_owned()).min()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

//! Writes a checkpoint with quantized weights, as a directory that loads like any other.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    iter,
    path::Path,
};

use serde_json::{Map, Value, json};

use crate::model::weights::quantize::{Weighted, is_quantized, require_original};
use crate::{
    compute::{
        dtype::{DType, PLANES, Planes},
        formats::{LARGEST, VERSION},
    },
    error::{Error, Result},
    model::{
        checkpoint::{Checkpoint, FORMAT, FORMAT_VERSION, PLANE_NAMES, TensorView, WEIGHTS},
        weights::{Progress, convert::Found},
    },
};

/// The side files of a checkpoint directory.
const SIDE_FILES: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// How the names of files with weights end, or with the places of weights.
const WEIGHT_ENDINGS: [&str; 4] = [".safetensors", ".safetensors.index.json", ".gguf", ".bin"];

/// The name of an incomplete weight file.
const UNFINISHED: &str = "model.safetensors.unfinished";

/// What happens to other files of the output directory. Weights there are always an error: they could win over the new
/// ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Any file is an error.
    Refuse,
    /// Files of the same names are replaced.
    Replace,
}

/// Writes a checkpoint with quantized large matrices to a directory, and creates the directory. Writes the weights in
/// one file, whose metadata has format and version, and copies the side files. Holds one tensor in memory at a time.
///
/// # Errors
/// [`Error::Request`] for weights that are already quantized, a GGUF file, or a directory that holds weights or other
/// files;
/// [`Error::Tensor`] for values that are not finite; [`Error::Io`].
pub fn quantize(
    checkpoint: &Checkpoint,
    out: &Path,
    existing: Existing,
    format: DType,
    progress: &mut Progress<'_>,
) -> Result<()> {
    if checkpoint.is_gguf() {
        let what = "what is written needs the files beside the weights; give the directory of a safetensors checkpoint";
        return Err(Error::Request(format!("{}: a GGUF file; {what}", checkpoint.path().display())));
    }
    require_original(checkpoint, format)?;
    checkpoint.check()?;
    require_room(out, existing)?;
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let file = out.join(WEIGHTS);
    let entries = checkpoint.tensors().map(|name| Entry::of(checkpoint.tensor(name)?, format));
    let entries: Vec<Entry<'_>> = entries.collect::<Result<_>>()?;
    for name in SIDE_FILES {
        if let Some(contents) = checkpoint.side_file(name)? {
            fs::write(out.join(name), contents).map_err(Error::io(out.join(name)))?;
        }
    }
    // The file gets its final name when it is complete.
    let unfinished = out.join(UNFINISHED);
    let written = weights(checkpoint, (&entries, format), &unfinished, progress);
    let written = written.and_then(|()| fs::rename(&unfinished, &file).map_err(Error::io(&file)));
    written.inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// Checks that the directory is absent or has room for a checkpoint.
fn require_room(out: &Path, existing: Existing) -> Result<()> {
    let Ok(entries) = fs::read_dir(out) else { return Ok(()) };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name != UNFINISHED).collect();
    names.sort();
    let holds_weights = |name: &&String| WEIGHT_ENDINGS.iter().any(|ending| name.ends_with(ending));
    if let Some(name) = names.iter().find(holds_weights) {
        return Err(Error::Request(format!("{} is there already; give another directory", out.join(name).display())));
    }
    match names.first().filter(|_| existing == Existing::Refuse) {
        Some(name) => Err(Error::Request(format!(
            "{} holds other files, such as {name}; give another directory, or --force to replace files of the same names",
            out.display()
        ))),
        None => Ok(()),
    }
}

fn weights(
    checkpoint: &Checkpoint,
    (entries, format): (&[Entry<'_>], DType),
    file: &Path,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let mut writer = BufWriter::new(File::create(file).map_err(Error::io(file))?);
    writer.write_all(&header(entries, format)).map_err(Error::io(file))?;
    let total: u64 = entries.iter().map(|entry| entry.view.data.len() as u64).sum();
    let mut done = 0;
    for entry in entries {
        entry.planes()?.iter().try_for_each(|plane| writer.write_all(plane)).map_err(Error::io(file))?;
        checkpoint.release(&entry.view);
        done += entry.view.data.len() as u64;
        progress(done, total);
    }
    writer.flush().map_err(Error::io(file))
}

/// One tensor to write.
struct Entry<'a> {
    view: TensorView<'a>,
    /// Its target type.
    to: DType,
}

impl<'a> Entry<'a> {
    /// Matrices are quantized, except those with values too large for f16.
    fn of(view: TensorView<'a>, format: DType) -> Result<Self> {
        view.require_finite()?;
        let matrix = view.shape.len() == 2 && is_quantized(view.name, view.columns() as u32);
        let wanted = if matrix && !view.dtype.is_quantized() { format } else { view.dtype };
        let mut entry = Self { view, to: wanted };
        if wanted != view.dtype && entry.weighted().largest() > LARGEST {
            log::warn!("{} has values too large for f16: it stays {}", view.name, view.dtype);
            entry.to = view.dtype;
        }
        Ok(entry)
    }

    fn shape(&self) -> [u32; 2] {
        let rows: usize = self.view.shape[..self.view.shape.len() - 1].iter().product();
        [rows as u32, self.view.columns() as u32]
    }

    fn weighted(&self) -> Weighted<'a> {
        let TensorView { dtype, data, scales, .. } = self.view;
        Weighted { from: dtype, to: self.to, width: self.shape()[1], data, scales }
    }

    /// Its planes, if all values fit.
    fn converted(&self) -> Option<[Vec<u8>; PLANES]> {
        let (weights, rows) = (self.weighted(), self.shape()[0] as usize);
        let [mut codes, mut words, mut units] =
            Planes::of(self.to, [1, weights.width]).row.map(|row| vec![0; row * rows]);
        let found = weights.convert(0..rows, &mut codes, [&mut words, &mut units]);
        (found == Found::Fit).then_some([codes, words, units])
    }

    /// The bytes to store, by plane.
    fn planes(&self) -> Result<[Vec<u8>; PLANES]> {
        if !self.to.is_quantized() {
            return Ok([self.view.data.to_vec(), Vec::new(), Vec::new()]);
        }
        let lost = || Error::Request(format!("{} changed while it was read", self.view.file.display()));
        self.converted().ok_or_else(lost)
    }

    /// Name, type, shape and bytes of each stored tensor.
    fn stored(&self) -> Vec<(String, &'static str, Vec<usize>, usize)> {
        let name = |plane: usize| format!("{}{}", self.view.name, PLANE_NAMES[plane]);
        let plain = |dtype| vec![(name(0), dtype, self.view.shape.to_vec(), self.view.data.len())];
        match self.to {
            DType::F32 | DType::U32 => plain("F32"),
            DType::F16 => plain("F16"),
            DType::Bf16 => plain("BF16"),
            _ => {
                let [rows, width] = self.shape();
                let planes = Planes::of(self.to, [1, width]).row.into_iter().enumerate();
                let planes = planes.filter(|(_, bytes)| *bytes > 0);
                planes.map(|(at, bytes)| (name(at), "U8", vec![rows as usize, bytes], rows as usize * bytes)).collect()
            }
        }
    }
}

/// The start of a safetensors file: length and header, padded to whole words.
fn header(entries: &[Entry<'_>], format: DType) -> Vec<u8> {
    let mut tensors = Map::new();
    let metadata = json!({ "format": "pt", FORMAT: format.to_string(), FORMAT_VERSION: VERSION.to_string() });
    tensors.insert("__metadata__".into(), metadata);
    let mut end = 0;
    for (name, dtype, shape, bytes) in entries.iter().flat_map(Entry::stored) {
        let start = end;
        end += bytes;
        tensors.insert(name, json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }));
    }
    let mut text = Value::Object(tensors).to_string();
    let whole = text.len().next_multiple_of(8);
    text.extend(iter::repeat_n(' ', whole - text.len()));
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

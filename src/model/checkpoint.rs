//! A checkpoint on disk or in memory: its configuration, and its tensors as bytes with dtype and shape. Knows no
//! device, and trusts no statement of a file about itself.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    compute::{
        dtype::{BLOCK, DType, PLANES, Planes},
        formats::Scales,
    },
    model::config::Config,
};

mod bytes;
mod directory;
mod encoding;
mod gguf;
mod header;
mod names;
mod outline;
mod summary;
mod table;
mod view;
mod write;

use bytes::Bytes;
use directory::{Files, Stored};
use gguf::Opened;
use names::{Names, PREFIXES};

pub(crate) use directory::SINGLE as WEIGHTS;
pub(crate) use header::{FORMAT, FORMAT_VERSION};

pub use outline::HeadFile;
pub use summary::{Skipped, Summary};
pub use table::{Expected, Part, expected};
pub use view::TensorView;
pub use write::{Existing, quantize};

/// The side files of [`Checkpoint::embedded`]: names and contents.
pub type SideFiles = &'static [(&'static str, &'static [u8])];

/// An open checkpoint: configuration parsed, weight files mapped, headers checked.
#[derive(Debug)]
pub struct Checkpoint {
    place: Place,
    config: Config,
    files: Files,
    names: Names,
    expected: BTreeMap<String, Expected>,
}

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    /// The first file of a model, and the values of its keys.
    Gguf(PathBuf, gguf::Values),
    Embedded(SideFiles),
}

/// Suffixes of a quantized tensor's planes. The codes plane has the tensor's own name.
pub(crate) const PLANE_NAMES: [&str; PLANES] = ["", ".words", ".units"];

/// The only tensor without a prefix.
const HEAD: &str = "lm_head.weight";

impl Checkpoint {
    /// Opens the checkpoint at `path`: a GGUF file, or a directory with `config.json` and `model.safetensors`, or with
    /// the shards of `model.safetensors.index.json`. Files are mapped, not read; they must not shrink while in use.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Unsupported`] if `path` is not a checkpoint that this engine supports;
    /// [`Error::Io`] if a file cannot be read. [`Checkpoint::check`] checks the tensors.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        if directory::is_gguf(path) {
            return Checkpoint::of_gguf(Bytes::map(path)?, path);
        }
        let config = directory::config(path)?;
        let config = Config::parse(&config, &path.join(directory::CONFIG))?;
        let files = Files::open(path)?;
        Ok(Checkpoint::new(Place::Directory(path.into()), config, files))
    }

    /// Opens a checkpoint in memory: the text of a config.json and the bytes of one safetensors file.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`]; paths in messages begin with `embedded/`.
    pub fn embedded(
        config: &[u8],
        weights: impl Into<Cow<'static, [u8]>>,
        side_files: SideFiles,
    ) -> Result<Checkpoint> {
        let place = Place::Embedded(side_files);
        let config = Config::parse(config, &place.path().join(directory::CONFIG))?;
        let files = Files::memory(weights.into(), place.path().join(directory::SINGLE))?;
        Ok(Checkpoint::new(place, config, files))
    }

    /// Opens a checkpoint in memory: the bytes of a GGUF file.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`]; paths in messages begin with `embedded`.
    pub fn embedded_gguf(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Checkpoint> {
        Checkpoint::of_gguf(Bytes::Memory(bytes.into()), Path::new("embedded.gguf"))
    }

    fn of_gguf(bytes: Bytes, path: &Path) -> Result<Checkpoint> {
        let Opened { config, files, names, values } = gguf::open(bytes, path)?;
        let expected = table::by_name(&config);
        Ok(Checkpoint { place: Place::Gguf(path.into(), values), config, files, names, expected })
    }

    fn new(place: Place, config: Config, files: Files) -> Checkpoint {
        let multimodal = files.stored.keys().any(|name| name.starts_with(PREFIXES[0]));
        let names = Names::Prefixed(if multimodal { PREFIXES[0] } else { PREFIXES[1] });
        let expected = table::by_name(&config);
        Checkpoint { place, config, files, names, expected }
    }

    /// The model's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The directory, the GGUF file, or `embedded` for a checkpoint in memory.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Checks that every tensor of the text model exists, with a usable dtype and the configured shape. Checks that the
    /// text model has no other tensors.
    ///
    /// # Errors
    /// [`Error::Tensor`] for the first bad tensor, by name.
    pub fn check(&self) -> Result<()> {
        self.expected.values().try_for_each(|tensor| self.view(tensor).map(drop))?;
        let stranger =
            self.files.stored.iter().find(|(name, _)| self.skipped(name).is_none() && self.short(name).is_none());
        let Some((name, stored)) = stranger else { return Ok(()) };
        let want = "no such tensor in a dense Qwen3.5 text model of this configuration".to_string();
        Err(self.error(name, Some(stored), want, format!("{:?}", stored.shape)))
    }

    /// The tensor `name`, without prefix: `layers.0.mlp.up_proj.weight`, `lm_head.weight`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the tensor is missing, or unknown to the model. Also if its dtype is not f32, f16, bf16 or
    /// quantized, or its shape does not match the configuration.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let expected = self.expected.get(name).ok_or_else(|| {
            let want = "a tensor of this model".to_string();
            self.error(&self.names.full(name), None, want, "a name that it does not have".to_string())
        })?;
        self.view(expected)
    }

    /// Releases the memory pages of a tensor that was copied elsewhere. The view stays usable: the next read loads from
    /// the file again. Does nothing for a checkpoint in memory.
    pub fn release(&self, view: &TensorView) {
        self.files.shards.iter().for_each(|shard| shard.bytes.release(view.data));
    }

    /// A small file of the checkpoint, such as `tokenizer.json` or `chat_template.jinja`; `None` if absent.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is larger than 64 MiB or `name` is not a plain file
    /// name.
    pub fn side_file(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>> {
        match &self.place {
            Place::Directory(dir) => Ok(directory::side_file(dir, name)?.map(Cow::Owned)),
            Place::Gguf(path, values) => {
                let file = self.files.shards[0].bytes.as_slice();
                Ok(gguf::side_file((values, path), file, name)?.map(Cow::Owned))
            }
            Place::Embedded(files) => {
                Ok(files.iter().find(|file| file.0 == name).map(|(_, contents)| Cow::Borrowed(*contents)))
            }
        }
    }

    /// The contents of the checkpoint: parameters by part, bytes by dtype, skipped tensors, files.
    pub fn summary(&self) -> Summary {
        summary::summary(self)
    }

    fn view<'a>(&'a self, expected: &'a Expected) -> Result<TensorView<'a>> {
        let full = self.names.full(&expected.name);
        let Some((name, stored)) = self.files.stored.get_key_value(&*full) else {
            return Err(self.error(&full, None, format!("{:?}", expected.shape), self.absent(expected)));
        };
        if let Some(format) = self.files.quantized(stored) {
            return self.quantized_view(expected, (name, stored), format);
        }
        let Some(dtype) = stored.encoding.dtype() else {
            let (want, got) = (stored.encoding.readable().to_string(), stored.encoding.to_string());
            return Err(self.error(name, Some(stored), want, got));
        };
        if stored.shape != expected.shape {
            let got = format!("{:?}{}", stored.shape, expected.hint(&stored.shape));
            return Err(self.error(name, Some(stored), format!("{:?}", expected.shape), got));
        }
        if dtype.is_quantized() && expected.shape.len() != 2 {
            return Err(self.error(name, Some(stored), "F32, F16 or BF16".to_string(), stored.encoding.to_string()));
        }
        let (file, data) = (&self.files.shards[stored.shard].path, self.files.data(stored));
        let scales = if dtype.is_quantized() { Scales::Within } else { Scales::default() };
        Ok(TensorView { name, file, dtype, shape: &stored.shape, data, scales })
    }

    /// What is there in place of a missing tensor.
    fn absent(&self, expected: &Expected) -> String {
        if self.files.stored.keys().any(|name| name.contains(".lora_")) {
            return "nothing (these are the weights of an adapter, LoRA: merge them into the model first)".into();
        }
        let beside = |name: &&String| matches!(self.skipped(name), Some(Skipped::Vision | Skipped::Mtp));
        let prefix = self.files.stored.keys().filter(|name| !beside(name)).find_map(|name| {
            let prefix = name.strip_suffix(&expected.name)?;
            (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
        });
        match prefix {
            Some(prefix) if !self.is_gguf() => {
                let known = PREFIXES.map(|prefix| format!("{prefix:?}")).join(" or ");
                format!("{prefix}{} (prefix {prefix:?}, expected {known}: rename the tensors)", expected.name)
            }
            _ if expected.name == HEAD => {
                "nothing (tie_word_embeddings is false, so the output head must be there)".into()
            }
            _ => "nothing".into(),
        }
    }

    /// A tensor stored as planes: its codes under its own name, its scales beside it.
    fn quantized_view<'a>(
        &'a self,
        expected: &'a Expected,
        (name, codes): (&'a str, &'a Stored),
        dtype: DType,
    ) -> Result<TensorView<'a>> {
        let (rows, width) = match *expected.shape {
            [rows, width] if width.is_multiple_of(BLOCK) => (rows, width as u32),
            _ => {
                let want = format!("{:?} in f32, f16 or bf16", expected.shape);
                return Err(self.error(name, Some(codes), want, dtype.to_string()));
            }
        };
        let planes = Planes::of(dtype, [1, width]).row;
        let plane = |at: usize| {
            let (name, shape) = (format!("{name}{}", PLANE_NAMES[at]), [rows, planes[at]]);
            let want = format!("bytes {shape:?}, a plane of {dtype}");
            let Some(stored) = self.files.stored.get(&name) else {
                return Err(self.error(&name, None, want, "nothing".into()));
            };
            match self.files.quantized(stored) == Some(dtype) && stored.shape == shape {
                true => Ok(self.files.data(stored)),
                false => Err(self.error(&name, Some(stored), want, format!("{} {:?}", stored.encoding, stored.shape))),
            }
        };
        let units = if planes[2] == 0 { &[][..] } else { plane(2)? };
        let file = &self.files.shards[codes.shard].path;
        Ok(TensorView {
            name,
            file,
            dtype,
            shape: &expected.shape,
            data: plane(0)?,
            scales: Scales::Apart([plane(1)?, units]),
        })
    }

    /// The format of its quantized weights, if any; for a GGUF file, the format of the first one by name.
    pub fn quantized(&self) -> Option<DType> {
        let blocks = || {
            let used = self.files.stored.iter().filter(|(name, _)| self.short(name).is_some());
            used.filter_map(|(_, stored)| stored.encoding.dtype()).find(|dtype| dtype.is_quantized())
        };
        self.files.shards.iter().find_map(|shard| shard.quantized).or_else(blocks)
    }

    /// Whether it is a GGUF file.
    pub fn is_gguf(&self) -> bool {
        matches!(self.place, Place::Gguf(..))
    }

    /// The names of all tensors of the text model, without prefix.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &str> {
        self.expected.keys().map(String::as_str)
    }

    /// The expected name of a stored tensor. `None` if the model does not expect it.
    fn short<'a>(&self, full: &'a str) -> Option<Cow<'a, str>> {
        let quantized = self.files.shards.iter().any(|shard| shard.quantized.is_some());
        let planes = PLANE_NAMES[1..].iter().filter(|_| quantized);
        let full = planes.fold(full, |full, plane| full.strip_suffix(plane).unwrap_or(full));
        self.names.short(full).filter(|name| self.expected.contains_key(&**name))
    }

    /// The part that a skipped tensor belongs to. `None` for a tensor of the text model.
    fn skipped(&self, full: &str) -> Option<Skipped> {
        if full == HEAD && self.config.tied {
            return Some(Skipped::TiedHead);
        }
        self.names.skipped(full)
    }

    fn error(&self, name: &str, stored: Option<&Stored>, want: String, got: String) -> Error {
        let file = stored.map_or(self.path(), |stored| &self.files.shards[stored.shard].path);
        Error::Tensor { file: file.into(), name: name.into(), want, got }
    }
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Place::Directory(path) | Place::Gguf(path, _) => path,
            Place::Embedded(_) => Path::new("embedded"),
        }
    }
}

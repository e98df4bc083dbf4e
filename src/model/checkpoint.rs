//! A checkpoint on disk or in memory: its configuration, and its tensors as bytes with dtype and shape. It knows no
//! device, and it trusts nothing that a file says about itself.

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

pub use summary::{Skipped, Summary};
pub use table::{Expected, Part, expected};
pub use view::TensorView;
pub use write::quantise;

/// Side files handed to [`Checkpoint::embedded`]: names and contents.
pub type SideFiles = &'static [(&'static str, &'static [u8])];

/// An opened checkpoint: configuration read, weight files mapped, headers checked.
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
    /// One file that holds all, and what its keys say.
    Gguf(PathBuf, gguf::Values),
    Embedded(SideFiles),
}

/// What stands behind a quantised tensor's name for each of its planes: its codes have the name itself.
pub(crate) const PLANE_NAMES: [&str; PLANES] = ["", ".words", ".units"];

/// The one tensor that carries no prefix.
const HEAD: &str = "lm_head.weight";

impl Checkpoint {
    /// Opens the checkpoint at `path`: a GGUF file, or a directory with `config.json` and `model.safetensors`, or the shards
    /// of `model.safetensors.index.json`. The files are mapped, not read; nobody may shorten them while they are in use.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Unsupported`] where `path` is no checkpoint, or none that this engine runs;
    /// [`Error::Io`] where a file cannot be read. Tensors are not looked at: see [`Checkpoint::check`].
    pub fn open(path: &Path) -> Result<Checkpoint> {
        if directory::is_gguf(path) {
            return Checkpoint::of_gguf(Bytes::map(path)?, path);
        }
        let config = directory::config(path)?;
        let config = Config::parse(&config, &path.join(directory::CONFIG))?;
        let files = Files::open(path)?;
        Ok(Checkpoint::new(Place::Directory(path.into()), config, files))
    }

    /// A checkpoint in memory: the text of a config.json and the bytes of one safetensors file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; paths in messages begin with `embedded/`.
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

    /// A checkpoint in memory: the bytes of a GGUF file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; paths in messages begin with `embedded`.
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

    /// The sizes of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The directory, the GGUF file, or `embedded` for a checkpoint in memory.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Every tensor of the text model is there, in a usable dtype and in the shape that the configuration asks for, and
    /// the text model has no tensor beyond those.
    ///
    /// # Errors
    /// [`Error::Tensor`] for the first one, by name, that is not.
    pub fn check(&self) -> Result<()> {
        self.expected.values().try_for_each(|tensor| self.view(tensor).map(drop))?;
        let stranger =
            self.files.stored.iter().find(|(name, _)| self.skipped(name).is_none() && self.short(name).is_none());
        let Some((name, stored)) = stranger else { return Ok(()) };
        let want = "no such tensor in a dense Qwen3.5 text model of this configuration".to_string();
        Err(self.error(name, Some(stored), want, format!("{:?}", stored.shape)))
    }

    /// The tensor `name`, spelled without the prefix: `layers.0.mlp.up_proj.weight`, `lm_head.weight`.
    ///
    /// # Errors
    /// [`Error::Tensor`] where it is missing, its dtype is none of f32, f16, bf16 and quantised ones, its shape is not what the
    /// configuration asks for, or the model has no tensor of that name.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let expected = self.expected.get(name).ok_or_else(|| {
            let want = "a tensor of this model".to_string();
            self.error(&self.names.full(name), None, want, "a name that it does not have".to_string())
        })?;
        self.view(expected)
    }

    /// Gives the pages of a tensor back to the system once its values are elsewhere. The view stays usable: what is
    /// read again comes from the file again. Does nothing for a checkpoint in memory.
    pub fn release(&self, view: &TensorView) {
        self.files.shards.iter().for_each(|shard| shard.bytes.release(view.data));
    }

    /// A small file of the checkpoint, such as `tokenizer.json` or `chat_template.jinja`; none where it is absent.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is larger than 64 MiB or `name` is no plain
    /// file name.
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

    /// What is in the checkpoint: parameters by part, bytes by dtype, what is skipped, the files.
    pub fn summary(&self) -> Summary {
        summary::summary(self)
    }

    fn view<'a>(&'a self, expected: &'a Expected) -> Result<TensorView<'a>> {
        let full = self.names.full(&expected.name);
        let Some((name, stored)) = self.files.stored.get_key_value(&*full) else {
            let own_head = "nothing (tie_word_embeddings is false, so the output head must be there)";
            let got = if expected.name == HEAD { own_head } else { "nothing" };
            return Err(self.error(&full, None, format!("{:?}", expected.shape), got.to_string()));
        };
        if let Some(format) = self.files.quantised(stored) {
            return self.quantised_view(expected, (name, stored), format);
        }
        let Some(dtype) = stored.encoding.dtype() else {
            let (want, got) = (stored.encoding.readable().to_string(), stored.encoding.to_string());
            return Err(self.error(name, Some(stored), want, got));
        };
        if stored.shape != expected.shape {
            let got = format!("{:?}{}", stored.shape, expected.hint(&stored.shape));
            return Err(self.error(name, Some(stored), format!("{:?}", expected.shape), got));
        }
        if dtype.is_quantised() && expected.shape.len() != 2 {
            return Err(self.error(name, Some(stored), "F32, F16 or BF16".to_string(), stored.encoding.to_string()));
        }
        let (file, data) = (&self.files.shards[stored.shard].path, self.files.data(stored));
        let scales = if dtype.is_quantised() { Scales::Within } else { Scales::default() };
        Ok(TensorView { name, file, dtype, shape: &stored.shape, data, scales })
    }

    /// A tensor that is stored as planes: its codes under its own name, what scales them beside it.
    fn quantised_view<'a>(
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
            match self.files.quantised(stored) == Some(dtype) && stored.shape == shape {
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

    /// The format of its quantised weights, if it has such; the first one's of a GGUF file, by name.
    pub fn quantised(&self) -> Option<DType> {
        let blocks = || {
            let used = self.files.stored.iter().filter(|(name, _)| self.short(name).is_some());
            used.filter_map(|(_, stored)| stored.encoding.dtype()).find(|dtype| dtype.is_quantised())
        };
        self.files.shards.iter().find_map(|shard| shard.quantised).or_else(blocks)
    }

    /// Whether it is a GGUF file.
    pub fn is_gguf(&self) -> bool {
        matches!(self.place, Place::Gguf(..))
    }

    /// Names of all tensors of the text model, without prefix.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &str> {
        self.expected.keys().map(String::as_str)
    }

    /// The other way: the expected name of a stored tensor, if it is one of those.
    fn short<'a>(&self, full: &'a str) -> Option<Cow<'a, str>> {
        let quantised = self.files.shards.iter().any(|shard| shard.quantised.is_some());
        let planes = PLANE_NAMES[1..].iter().filter(|_| quantised);
        let full = planes.fold(full, |full, plane| full.strip_suffix(plane).unwrap_or(full));
        self.names.short(full).filter(|name| self.expected.contains_key(&**name))
    }

    /// What a stored tensor belongs to, where that is not the text model.
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

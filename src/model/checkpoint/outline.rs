//! A summary of a checkpoint that is elsewhere, from the headers of its files alone.

use std::path::PathBuf;

use super::{
    Checkpoint, Place, Summary,
    bytes::Bytes,
    directory::{CONFIG, Files},
    gguf, header, table,
};
use crate::{Error, Result, model::config::Config};

/// The first bytes that are read of a file.
const SAFETENSORS_HEAD: u64 = 1 << 18;
const GGUF_HEAD: u64 = 1 << 20;
/// The last size that is tried: far above any real header, of which the tokens and merges take most.
const MAX_GGUF_HEAD: u64 = 1 << 26;

/// A weight file that is elsewhere.
pub struct HeadFile<'a> {
    /// Its name in messages.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// Reads the first bytes of the file, this many.
    pub read: Box<dyn FnMut(u64) -> Result<Vec<u8>> + 'a>,
}

impl HeadFile<'_> {
    fn read(&mut self, bytes: u64) -> Result<Vec<u8>> {
        let wanted = bytes.min(self.length);
        let head = (self.read)(wanted)?;
        match head.len() as u64 == wanted {
            true => Ok(head),
            false => {
                let what = format!("found {} bytes, expected {wanted}: try again", head.len());
                Err(Error::Format { file: self.path.clone(), what })
            }
        }
    }

    fn safetensors(mut self) -> Result<(PathBuf, Bytes)> {
        let mut head = self.read(SAFETENSORS_HEAD)?;
        let end = header::end(&head).unwrap_or(0);
        if end > head.len() as u64 {
            head = self.read(end)?;
        }
        Ok((self.path, Bytes::Head(head, self.length)))
    }

    fn gguf(mut self) -> Result<(PathBuf, Bytes)> {
        let mut wanted = GGUF_HEAD;
        loop {
            let head = self.read(wanted)?;
            let is_last = wanted >= self.length.min(MAX_GGUF_HEAD);
            if is_last || !gguf::is_gguf(&head) || gguf::has_header(&head, self.length) {
                return Ok((self.path, Bytes::Head(head, self.length)));
            }
            wanted *= 4;
        }
    }
}

impl Summary {
    /// The contents of a checkpoint of safetensors files: the text of its config.json, and its weight files.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`Checkpoint::check`], and those of reading.
    pub fn of_safetensors(config: &[u8], files: Vec<HeadFile<'_>>) -> Result<Summary> {
        let place = files.first().and_then(|file| file.path.parent()).unwrap_or("".as_ref()).to_owned();
        let config = Config::parse(config, &place.join(CONFIG))?;
        let heads: Result<Vec<_>> = files.into_iter().map(HeadFile::safetensors).collect();
        let checkpoint = Checkpoint::new(Place::Directory(place), config, Files::heads(heads?)?);
        checkpoint.check()?;
        Ok(checkpoint.summary())
    }

    /// The contents of a model of GGUF files, in order.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`Checkpoint::check`], and those of reading.
    pub fn of_gguf(files: Vec<HeadFile<'_>>) -> Result<Summary> {
        let heads: Result<Vec<_>> = files.into_iter().map(HeadFile::gguf).collect();
        let heads = heads?;
        let place = heads.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let gguf::Opened { config, files, names, values } = gguf::heads(heads)?;
        let expected = table::by_name(&config);
        let checkpoint = Checkpoint { place: Place::Gguf(place, values), config, files, names, expected };
        checkpoint.check()?;
        Ok(checkpoint.summary())
    }
}

//! The bytes of one weight file, mapped or in memory, or only its first bytes: the only unsafe code of the loader.

use std::{borrow::Cow, ops::Range, path::Path};

use crate::{Error, Result};

/// The contents of one weight file.
#[derive(Debug)]
pub(super) enum Bytes {
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
    Memory(Cow<'static, [u8]>),
    /// The first bytes of a file that is elsewhere, and the length of the whole file.
    Head(Vec<u8>, u64),
}

impl Bytes {
    /// Maps the file at `path` for reading.
    // SAFETY: the map is read-only, and its bytes are only seen as `&[u8]`, where every value is valid. Another process
    // could still shorten or rewrite the file, which no system lets a reader prevent; `Checkpoint::open` documents
    // this. The alternative, reading, would need the file's size in memory.
    #[cfg(not(target_arch = "wasm32"))]
    #[allow(unsafe_code)]
    pub(super) fn map(path: &Path) -> Result<Bytes> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        Ok(Bytes::Mapped(map))
    }

    /// A browser has no files: checkpoints come as bytes there.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn map(path: &Path) -> Result<Bytes> {
        Err(Error::io(path)(std::io::ErrorKind::Unsupported.into()))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Bytes::Mapped(map) => map,
            Bytes::Memory(bytes) => bytes,
            Bytes::Head(bytes, _) => bytes,
        }
    }

    /// The length of the whole file.
    pub(super) fn length(&self) -> u64 {
        match self {
            Bytes::Head(_, length) => *length,
            _ => self.as_slice().len() as u64,
        }
    }

    /// A part of the file; nothing of a file that is elsewhere.
    pub(super) fn part(&self, range: Range<usize>) -> &[u8] {
        match self {
            Bytes::Head(..) => &[],
            _ => &self.as_slice()[range],
        }
    }

    /// Drops the pages of `part` from memory, if the file is mapped and contains `part`.
    // SAFETY: this is a read-only map of a file, so a dropped page loses no data: the next read loads the same bytes
    // from the file. The range is checked to lie inside the map.
    #[cfg(unix)]
    #[allow(unsafe_code)]
    pub(super) fn release(&self, part: &[u8]) {
        let Bytes::Mapped(map) = self else { return };
        let Some(start) = part.as_ptr().addr().checked_sub(map.as_ptr().addr()) else { return };
        if start.checked_add(part.len()).is_some_and(|end| end <= map.len()) {
            let advised = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, part.len()) };
            if let Err(why) = advised {
                log::debug!("the pages of an uploaded tensor stay in memory: {why}");
            }
        }
    }

    #[cfg(not(unix))]
    pub(super) fn release(&self, _part: &[u8]) {}
}

//! Reading little-endian values from a file's bytes. Nothing is allocated before what it is for is known to be there.

use std::{ops::Range, str};

/// What is wrong is said here; the file it is wrong in is known where all is put together.
pub(super) type Checked<T> = std::result::Result<T, String>;

/// A place in a file.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    /// The byte it is at.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where `count` things of `size` bytes each lie, from here on.
    pub(super) fn take(&mut self, count: u64, size: usize) -> Checked<Range<usize>> {
        let left = self.bytes.len() - self.at;
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let Some(length) = length.filter(|length| *length <= left) else {
            let at = self.at;
            let claim = if size == 1 { format!("{count} bytes") } else { format!("{count} values of {size} bytes") };
            return Err(format!("{claim} are claimed at byte {at}, but only {left} bytes are left"));
        };
        self.at += length;
        Ok(self.at - length..self.at)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Checked<[u8; N]> {
        let range = self.take(1, N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Checked<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Checked<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string behind its length.
    pub(super) fn text(&mut self) -> Checked<&'a str> {
        let at = self.at;
        let length = self.u64()?;
        let bytes = &self.bytes[self.take(length, 1)?];
        str::from_utf8(bytes).map_err(|_| format!("the string at byte {at} is not UTF-8"))
    }
}

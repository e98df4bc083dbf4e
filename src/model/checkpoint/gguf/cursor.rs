//! Reads little-endian values from a file's bytes. Checks that bytes exist before it allocates memory for them.

use std::{ops::Range, str};

/// The error describes the fault; the caller adds the file name.
pub(super) type Checked<T> = std::result::Result<T, String>;

/// A position in a file.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    /// The current byte offset.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The byte range of the next `count` values of `size` bytes each; moves past it.
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

    /// A string with its length before it.
    pub(super) fn text(&mut self) -> Checked<&'a str> {
        let at = self.at;
        let length = self.u64()?;
        let bytes = &self.bytes[self.take(length, 1)?];
        str::from_utf8(bytes).map_err(|_| format!("the string at byte {at} is not UTF-8"))
    }
}

//! The GGUF container: its header and the places of its tensors, fully checked.

use std::{collections::BTreeMap, ops::Range};

use super::{
    super::directory::{POINTED, POINTER},
    cursor::{Checked, Cursor},
    kind::Kind,
    value::Value,
};

pub(super) const MAGIC: [u8; 4] = *b"GGUF";

/// Supported versions; a little-endian file is the same in all of them.
const VERSIONS: Range<u32> = 2..4;

/// The default alignment in bytes.
const ALIGNMENT: u64 = 32;
const ALIGNMENTS: Range<u64> = 8..(1 << 16) + 1;

const DIMENSIONS: Range<u32> = 1..5;

/// The contents of a file.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) values: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

/// A tensor's type, shape and place.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) kind: &'static Kind,
    /// Outermost dimension first.
    pub(super) shape: Vec<usize>,
    /// Byte range in the file.
    pub(super) range: Range<usize>,
    /// The number of its file, for a model in several files.
    pub(super) file: usize,
}

/// A tensor whose offset counts from the start of the tensor data.
struct Placed {
    kind: &'static Kind,
    shape: Vec<usize>,
    offset: u64,
    size: usize,
}

/// Reads and checks the header and the places of the tensors in a file of `length` bytes. `bytes` has the header at
/// least.
pub(super) fn read(bytes: &[u8], length: u64) -> Checked<Container> {
    if bytes.starts_with(POINTER) {
        return Err(POINTED.into());
    }
    let mut cursor = Cursor::new(bytes, 0);
    version(&mut cursor)?;
    let (tensors, keys) = (cursor.u64()?, cursor.u64()?);
    let values = values(&mut cursor, keys)?;
    let alignment = alignment(values.get("general.alignment"))?;
    let mut placed = BTreeMap::new();
    for number in 1..=tensors {
        let (name, tensor) =
            tensor(&mut cursor).map_err(|what| format!("tensor number {number} of {tensors}: {what}"))?;
        if placed.contains_key(name) {
            return Err(format!("tensor {name} is there twice"));
        }
        placed.insert(name.to_owned(), tensor);
    }
    let start = (cursor.at() as u64).next_multiple_of(alignment);
    Ok(Container { values, tensors: place(placed, (start, length), alignment)? })
}

fn version(cursor: &mut Cursor) -> Checked<()> {
    let magic: [u8; 4] = cursor.array()?;
    if magic != MAGIC {
        return Err(format!("it begins with \"{}\", expected \"GGUF\"", magic.escape_ascii()));
    }
    let version = cursor.u32()?;
    let expected = "expected a little-endian file of version 2 or 3";
    match version {
        _ if VERSIONS.contains(&version) => Ok(()),
        _ if version.swap_bytes() < 1 << 16 => Err(format!("a big-endian GGUF file, {expected}")),
        _ => Err(format!("a GGUF file of version {version}, {expected}")),
    }
}

fn values(cursor: &mut Cursor, count: u64) -> Checked<BTreeMap<String, Value>> {
    let mut values = BTreeMap::new();
    for number in 1..=count {
        let key = cursor.text().map_err(|what| format!("key number {number} of {count}: {what}"))?;
        let value = Value::read(cursor).map_err(|what| format!("key {key}: {what}"))?;
        if values.insert(key.to_owned(), value).is_some() {
            return Err(format!("key {key} is there twice"));
        }
    }
    Ok(values)
}

fn alignment(value: Option<&Value>) -> Checked<u64> {
    let Some(value) = value else { return Ok(ALIGNMENT) };
    let number = match value {
        Value::Unsigned(number) => Some(*number),
        // Some producers write signed integers.
        Value::Signed(number) => u64::try_from(*number).ok(),
        _ => return Err(format!("key general.alignment: expected an integer, found {} {value}", value.kind())),
    };
    let fits = |number: &u64| number.is_power_of_two() && ALIGNMENTS.contains(number);
    let wanted = "a power of two from 8 to 65536";
    number.filter(fits).ok_or_else(|| format!("key general.alignment: expected {wanted}, found {value}"))
}

fn tensor<'a>(cursor: &mut Cursor<'a>) -> Checked<(&'a str, Placed)> {
    let name = cursor.text()?;
    let dimensions = cursor.u32().map_err(|what| format!("{name}: {what}"))?;
    if !DIMENSIONS.contains(&dimensions) {
        return Err(format!("{name} has {dimensions} dimensions, expected 1 to 4"));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = usize::try_from(cursor.u64()?).map_err(|_| format!("{name} is larger than memory"))?;
        shape.insert(0, size);
    }
    let number = cursor.u32()?;
    let kind = Kind::of(number).ok_or_else(|| format!("{name} has type {number}, which this build does not know"))?;
    let size = kind.size(&shape).filter(|size| *size > 0).ok_or_else(|| {
        let (name_of, block) = (kind.name, kind.block());
        format!("{name} is {name_of} {shape:?}, which is no possible shape: rows are whole blocks of {block}")
    })?;
    Ok((name, Placed { kind, shape, offset: cursor.u64()?, size }))
}

/// Converts offsets to byte ranges of the file, after checking that the tensors are consecutive.
fn place(
    placed: BTreeMap<String, Placed>,
    (start, end): (u64, u64),
    alignment: u64,
) -> Checked<BTreeMap<String, Tensor>> {
    let mut order: Vec<(&String, &Placed)> = placed.iter().collect();
    order.sort_by_key(|(_, tensor)| tensor.offset);
    let mut filled = 0;
    for (name, Placed { offset, size, .. }) in order {
        if *offset != filled {
            let fault = match () {
                () if !offset.is_multiple_of(alignment) => format!("is not aligned to {alignment} bytes"),
                () if *offset < filled => "overlaps the one before".into(),
                () => "leaves a gap".into(),
            };
            return Err(format!("tensor {name} {fault}: it begins at byte {offset} of the data, expected {filled}"));
        }
        let last = offset.checked_add(*size as u64).and_then(|last| last.checked_add(start));
        if last.is_none_or(|last| last > end) {
            let there = end.saturating_sub(start).saturating_sub(*offset);
            let what = "the file is cut off, fetch it again";
            return Err(format!("tensor {name} takes {size} bytes, but only {there} are there: {what}"));
        }
        filled = (offset + *size as u64).next_multiple_of(alignment);
    }
    let found = |Placed { kind, shape, offset, size }| {
        let start = (start + offset) as usize;
        Tensor { kind, shape, range: start..start + size, file: 0 }
    };
    Ok(placed.into_iter().map(|(name, tensor)| (name, found(tensor))).collect())
}

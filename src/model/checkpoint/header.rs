//! The header of a safetensors file, fully checked: every tensor lies inside the file, and each name is unique.

use std::{collections::BTreeMap, fmt, ops::Range, path::Path};

use safetensors::tensor::{Dtype, TensorInfo};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::{bytes::Bytes, directory::POINTER};
use crate::{
    Error, Result,
    compute::{dtype::DType, formats::VERSION},
};

/// The type, shape and place of one tensor in its file.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Byte range in the file.
    pub(super) range: Range<usize>,
}

/// The error describes the fault; only [`read`] knows the file name.
type Checked<T> = std::result::Result<T, String>;

/// Maximum header length in bytes: far above any real header (488 tensors take 60 kB). A false length can cost this
/// much memory.
const LONGEST: usize = 16 << 20;

/// Metadata keys of the quantized format of a file.
pub(crate) const FORMAT: &str = "bimetal.format";
pub(crate) const FORMAT_VERSION: &str = "bimetal.version";

/// Bytes of the length field at the start of a file.
const LENGTH: usize = 8;

/// The contents of a header.
pub(super) struct Header {
    pub(super) slots: BTreeMap<String, Slot>,
    /// The format of the quantized weights in the file.
    pub(super) quantized: Option<DType>,
}

/// The number of bytes up to the end of the header, from the first bytes of a file. `None` if these are too few.
pub(super) fn end(bytes: &[u8]) -> Option<u64> {
    let (length, _) = bytes.split_first_chunk::<LENGTH>()?;
    Some(u64::from_le_bytes(*length).min(LONGEST as u64) + LENGTH as u64)
}

/// Reads and checks the header of `file`, of which `contents` has the header at least.
pub(super) fn read(contents: &Bytes, file: &Path) -> Result<Header> {
    let bytes = contents.as_slice();
    let format = |what: String| Error::Format { file: file.into(), what };
    let header = header(bytes).map_err(format)?;
    let mut json = serde_json::Deserializer::from_slice(header);
    let read = json.deserialize_map(Tensors).and_then(|read| json.end().map(|()| read));
    let (tensors, metadata) = read.map_err(|why| format(format!("the safetensors header is unusable: {why}")))?;
    let quantized = quantized(&metadata, file)?;
    let start = LENGTH + header.len();
    let slots = place(tensors, contents.length() as usize - start, start).map_err(format)?;
    Ok(Header { slots, quantized })
}

/// The format of quantized weights in the metadata, if any.
fn quantized(metadata: &Value, file: &Path) -> Result<Option<DType>> {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str);
    let Some(format) = text(FORMAT) else { return Ok(None) };
    let version = text(FORMAT_VERSION).unwrap_or_default();
    match (format, version.parse::<u32>()) {
        (_, Ok(newer)) if newer > VERSION => Err(Error::Unsupported {
            what: format!("{}: quantized weights of version {newer}", file.display()),
            hint: format!("this build reads them up to version {VERSION}; a newer bimetal reads these"),
        }),
        ("q8", Ok(1..)) => Ok(Some(DType::Q8)),
        ("q4", Ok(1..)) => Ok(Some(DType::Q4)),
        _ => {
            let expected = format!("expected q8 or q4 of version 1 to {VERSION}");
            let what = format!("its weights are quantized as {format:?} of version {version:?}, {expected}");
            Err(Error::Format { file: file.into(), what })
        }
    }
}

/// The JSON text of the header.
fn header(bytes: &[u8]) -> Checked<&[u8]> {
    if bytes.starts_with(POINTER) {
        return Err("a Git LFS pointer stands in for the weights: fetch them with `git lfs pull`".into());
    }
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else {
        return Err(format!("found {} bytes, expected a safetensors file", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST as u64 {
        return Err(format!("the header claims {length} bytes, expected at most {LONGEST}: not a safetensors file"));
    }
    let header = rest.get(..length as usize);
    header.ok_or_else(|| {
        format!("the header claims {length} bytes, but only {} follow: the file is cut off, fetch it again", rest.len())
    })
}

/// Converts offsets to byte ranges of the file, after checking that the tensors fill the `available` bytes in order.
fn place(tensors: BTreeMap<String, TensorInfo>, available: usize, start: usize) -> Checked<BTreeMap<String, Slot>> {
    let mut order: Vec<(&String, &TensorInfo)> = tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let mut filled = 0;
    for (name, tensor) in order {
        let (begin, end) = tensor.data_offsets;
        if begin != filled {
            let fault = if begin < filled { "overlaps the one before" } else { "leaves a gap" };
            return Err(format!("tensor {name} {fault}: begins at byte {begin} of the data, expected {filled}"));
        }
        let size = size(tensor).ok_or_else(|| format!("tensor {name}: {:?} is no possible shape", tensor.shape))?;
        if begin.checked_add(size) != Some(end) {
            let TensorInfo { dtype, shape, .. } = tensor;
            let range = format!("bytes {begin} to {end}");
            return Err(format!("tensor {name}: {dtype} {shape:?} takes {size} bytes, found {range} of the data"));
        }
        filled = end;
    }
    if filled > available {
        return Err(format!(
            "the tensors take {filled} bytes, but only {available} are there: the file is cut off, fetch it again"
        ));
    }
    if filled < available {
        return Err(format!("the tensors take {filled} bytes, found {available}: the file is damaged, fetch it again"));
    }
    let slot = |tensor: TensorInfo| {
        let (begin, end) = tensor.data_offsets;
        Slot { dtype: tensor.dtype, shape: tensor.shape, range: start + begin..start + end }
    };
    Ok(tensors.into_iter().map(|(name, tensor)| (name, slot(tensor))).collect())
}

/// Bytes of a tensor. `None` if the product overflows or is not a whole number of bytes.
fn size(tensor: &TensorInfo) -> Option<usize> {
    let elements = tensor.shape.iter().try_fold(1usize, |product, dimension| product.checked_mul(*dimension))?;
    let bits = elements.checked_mul(tensor.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// Parses the map of tensors and its metadata. The safetensors crate keeps the last of two tensors with one name; here
/// they are an error.
struct Tensors;

impl<'de> Visitor<'de> for Tensors {
    type Value = (BTreeMap<String, TensorInfo>, Value);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let (mut tensors, mut metadata) = (BTreeMap::new(), Value::Null);
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                metadata = map.next_value()?;
                continue;
            }
            let tensor: TensorInfo = map.next_value()?;
            if tensors.contains_key(&name) {
                return Err(A::Error::custom(format_args!("tensor {name} is there twice")));
            }
            tensors.insert(name, tensor);
        }
        Ok((tensors, metadata))
    }
}

//! Quantised weights: what the formats are, and how matrices come to them and back.
//!
//! A quantised matrix has rows of whole blocks of 32 weights, and lies on a device as planes that follow each other, each
//! from a multiple of 16 bytes on, row after row:
//!
//! | | codes | block words, 2 bytes for 32 weights | units |
//! | --- | --- | --- | --- |
//! | `q8`, 8.5 bits | a signed byte q each | the block's scale d, f16 | none |
//! | `q4`, 4.5625 bits | 4 bits q each, the first lowest | for each 16 weights a byte: distance s low, place z high | f16 u for 256 weights |
//! | `q4_0`, 4.5 bits | as `q4` | the block's scale d, f16 | none |
//! | `q4_K`, 4.5 bits | as `q4` | as GGML: 16 bytes for 256 weights, f16 d and m, 6 bits s and z for each 32 | none |
//! | `q5_K`, 5.5 bits | the four low bits, as `q4` | as `q4_K` | the highest bit of each |
//! | `q6_K`, 6.5625 bits | the four low bits, as `q4` | as GGML: 18 bytes for 256 weights, a signed byte s for each 16, f16 d | the two high bits of each |
//!
//! A weight is d · q in `q8`, as in GGML's Q8_0, and u · (s + 4) · (q − 10.3125 + 0.375 · z) in `q4`: sixteen evenly spaced
//! values, whose distance and place are searched for each sixteen weights. The others come in GGUF files and keep their
//! bits: d · (q − 8), d · s · q − m · z, and d · s · (q − 32). All are exact in single precision, or one subtraction away
//! from it, so that every backend computes with the same weights.
//!
//! Keys and values are kept in a format of their own, [`heads`]: a plane of signed bytes and one of scales, an f32 for each
//! head, which is a row. Rows that packed bytes are multiplied with have one too, [`packed`].

mod ggml;
pub mod heads;
pub mod packed;
mod q4;
mod q8;

use std::ops::Range;

use half::f16;

use crate::compute::dtype::{DType, PLANES, Planes};
pub use ggml::{Blocks, split};

/// The version of the formats, which files of quantised weights state.
pub const VERSION: u32 = 1;

/// The largest magnitude of a weight: matrix units take halves.
pub const LARGEST: f32 = 65504.0;

/// Heads and blocks of rows of smaller numbers are zero: scales stay far from where devices lose digits.
const LEAST: f32 = f32::from_bits(0x0d80_0000); // 2^−100

/// Adding this rounds to a whole number, whose bits are then the last ones; compilers turn it into vector code.
const ROUND: f32 = 12_582_912.0;

/// Why weights cannot be quantised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unfit {
    /// Some are too large for half precision.
    Wide,
    /// Some are no numbers, or infinite.
    NotFinite,
}

/// What scales stored weights.
#[derive(Clone, Copy, Debug)]
pub enum Scales<'a> {
    /// The planes of block words and of units, each a row after the other; empty for floats.
    Apart([&'a [u8]; 2]),
    /// Each block holds its own, as in GGUF files.
    Within,
}

/// Floats have none.
impl Default for Scales<'_> {
    fn default() -> Self {
        Self::Apart([&[], &[]])
    }
}

impl Scales<'_> {
    /// Those of some of `all` rows.
    pub fn of_rows(self, rows: Range<usize>, all: usize) -> Self {
        let part = |plane: &'_ [u8]| plane.len() / all * rows.start..plane.len() / all * rows.end;
        match self {
            Self::Apart(planes) => Self::Apart(planes.map(|plane| &plane[part(plane)])),
            Self::Within => Self::Within,
        }
    }

    /// Bytes of a stored row of weights, without the planes of what scales them.
    pub fn row_bytes(self, dtype: DType, width: u32) -> usize {
        match self {
            _ if !dtype.is_quantised() => width as usize * dtype.bytes() as usize,
            Self::Apart(_) => Planes::of(dtype, [1, width]).row[0],
            Self::Within => Blocks::of(dtype).row(width as usize),
        }
    }
}

/// One row of quantised weights.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// One of the quantised types.
    pub dtype: DType,
    /// Its codes, block words or scale, and units.
    pub planes: [&'a [u8]; PLANES],
}

impl Row<'_> {
    /// Number of weights.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self.dtype {
            DType::Q8 | DType::Q8Heads => self.planes[0].len(),
            DType::Packed(_) => self.planes[0].len() / 2,
            _ => 2 * self.planes[0].len(),
        }
    }

    /// Its weights.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        match self.dtype {
            DType::Q8 => q8::dequantise(self.planes, &mut weights),
            DType::Q4 => q4::dequantise(self.planes, &mut weights),
            DType::Q8Heads => heads::dequantise(self.planes, &mut weights),
            DType::Packed(packs) => packed::dequantise(packs, self.planes, &mut weights),
            _ => ggml::dequantise(self, &mut weights),
        }
        weights
    }

    /// Whether all of its scales are numbers.
    pub fn is_finite(&self) -> bool {
        let scales = match self.dtype {
            DType::Q8 => self.planes[1],
            DType::Q4 => self.planes[2],
            _ => return ggml::is_finite(self),
        };
        all_finite(scales)
    }
}

/// Whether halves are numbers.
fn all_finite(halves: &[u8]) -> bool {
    halves.as_chunks().0.iter().all(|bytes| f16::from_le_bytes(*bytes).is_finite())
}

/// Quantises one row of weights into the row of each plane.
///
/// # Errors
/// [`Unfit`]; what was written is of no use then.
///
/// # Panics
/// If nothing is quantised to the type, or the planes' rows have not the lengths that [`Planes::of`] says.
pub fn quantise(dtype: DType, weights: &[f32], planes: [&mut [u8]; PLANES]) -> Result<(), Unfit> {
    let lengths = planes.each_ref().map(|plane| plane.len());
    assert_eq!(lengths, Planes::of(dtype, [1, weights.len() as u32]).row, "{dtype}: lengths of planes");
    // Comparing is false for what is no number; a maximum would pass by it.
    if !weights.iter().fold(true, |fit, weight| fit & (weight.abs() <= LARGEST)) {
        let finite = weights.iter().all(|weight| weight.is_finite());
        return Err(if finite { Unfit::Wide } else { Unfit::NotFinite });
    }
    match dtype {
        DType::Q8 => q8::quantise(weights, planes),
        DType::Q4 => q4::quantise(weights, planes),
        DType::Packed(packs) => packed::quantise(packs, weights, planes),
        _ => panic!("{dtype}: nothing is quantised to it"),
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

//! Quantized formats: their layout, and the conversion of matrices to and from them.
//!
//! A row of a quantized matrix is a whole number of 32-weight blocks. On a device the matrix is a sequence of planes,
//! each row-major and aligned to 16 bytes:
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
//! A weight is d · q in `q8`, as in GGML's Q8_0. In `q4` it is u · (s + 4) · (q − 10.3125 + 0.375 · z): sixteen evenly
//! spaced values, whose distance and place are searched for every sixteen weights. The other formats come from GGUF
//! files and keep their bits: d · (q − 8), d · s · q − m · z, and d · s · (q − 32). Every weight is exact in f32, or
//! one subtraction from exact, so every backend computes with the same weights.
//!
//! Keys and values have their own format, [`heads`]: a plane of signed bytes and a plane of f32 scales, one per head,
//! which is a row. Rows of packed products have one too, [`packed`].

mod ggml;
pub mod heads;
pub mod packed;
mod q4;
mod q8;

use std::ops::Range;

use half::f16;

use crate::compute::dtype::{DType, PLANES, Planes};
pub use ggml::{Blocks, split};

/// Version of the formats; files of quantized weights state it.
pub const VERSION: u32 = 1;

/// Largest magnitude of a weight: matrix units read f16.
pub const LARGEST: f32 = 65504.0;

/// Heads and blocks whose magnitudes are all smaller become zero: scales stay far above the range where devices lose
/// digits.
const MIN_MAGNITUDE: f32 = f32::from_bits(0x0d80_0000); // 2^−100

/// Adding this constant rounds to an integer, which the lowest bits then hold. Compilers vectorize it.
const ROUND: f32 = 12_582_912.0;

/// Why weights cannot be quantized.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unfit {
    /// Some weights exceed the range of f16.
    Wide,
    /// Some weights are NaN or infinite.
    NotFinite,
}

/// The scales of stored weights.
#[derive(Clone, Copy, Debug)]
pub enum Scales<'a> {
    /// Separate planes of block words and of units, each row-major; empty for floats.
    Apart([&'a [u8]; 2]),
    /// Inside each block, as in GGUF files.
    Within,
}

/// The scales of floats: none.
impl Default for Scales<'_> {
    fn default() -> Self {
        Self::Apart([&[], &[]])
    }
}

impl Scales<'_> {
    /// The scales of a range of rows, out of `all` rows.
    pub fn of_rows(self, rows: Range<usize>, all: usize) -> Self {
        let part = |plane: &'_ [u8]| plane.len() / all * rows.start..plane.len() / all * rows.end;
        match self {
            Self::Apart(planes) => Self::Apart(planes.map(|plane| &plane[part(plane)])),
            Self::Within => Self::Within,
        }
    }

    /// Bytes of one stored row of weights, without separate scale planes.
    pub fn row_bytes(self, dtype: DType, width: u32) -> usize {
        match self {
            _ if !dtype.is_quantized() => width as usize * dtype.bytes() as usize,
            Self::Apart(_) => Planes::of(dtype, [1, width]).row[0],
            Self::Within => Blocks::of(dtype).row(width as usize),
        }
    }
}

/// One row of quantized weights.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// A quantized type.
    pub dtype: DType,
    /// The row's codes, block words or scale, and units.
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

    /// The row's weights.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        match self.dtype {
            DType::Q8 => q8::dequantize(self.planes, &mut weights),
            DType::Q4 => q4::dequantize(self.planes, &mut weights),
            DType::Q8Heads => heads::dequantize(self.planes, &mut weights),
            DType::Packed(packs) => packed::dequantize(packs, self.planes, &mut weights),
            _ => ggml::dequantize(self, &mut weights),
        }
        weights
    }

    /// Whether all scales of the row are finite.
    pub fn is_finite(&self) -> bool {
        let scales = match self.dtype {
            DType::Q8 => self.planes[1],
            DType::Q4 => self.planes[2],
            _ => return ggml::is_finite(self),
        };
        all_finite(scales)
    }
}

/// Whether all f16 values are finite.
fn all_finite(f16_words: &[u8]) -> bool {
    f16_words.as_chunks().0.iter().all(|bytes| f16::from_le_bytes(*bytes).is_finite())
}

/// Quantizes one row of weights into one row of each plane.
///
/// # Errors
/// [`Unfit`]; the planes then hold no valid data.
///
/// # Panics
/// If no conversion to the type exists, or the plane lengths differ from those of [`Planes::of`].
pub fn quantize(dtype: DType, weights: &[f32], planes: [&mut [u8]; PLANES]) -> Result<(), Unfit> {
    let lengths = planes.each_ref().map(|plane| plane.len());
    assert_eq!(lengths, Planes::of(dtype, [1, weights.len() as u32]).row, "{dtype}: lengths of planes");
    // Comparisons with NaN are false; a maximum would ignore NaN.
    if !weights.iter().fold(true, |fit, weight| fit & (weight.abs() <= LARGEST)) {
        let finite = weights.iter().all(|weight| weight.is_finite());
        return Err(if finite { Unfit::Wide } else { Unfit::NotFinite });
    }
    match dtype {
        DType::Q8 => q8::quantize(weights, planes),
        DType::Q4 => q4::quantize(weights, planes),
        DType::Packed(packs) => packed::quantize(packs, weights, planes),
        _ => panic!("{dtype}: no conversion to this type"),
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

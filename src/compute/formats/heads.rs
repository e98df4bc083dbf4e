//! `q8` of keys and values: a signed byte for each element of a head, and one scale per head.
//!
//! scale = largest magnitude / 127, rounded to 16 binary digits. So scale · code is exact in f32, and so is the
//! midpoint of two codes. code = x / scale, rounded to nearest, ties to even. Every backend finds the same codes: a
//! correctly rounded quotient lies on the same side of a tie as the exact one. Where a device's division is inexact,
//! `lib/heads` checks the remainder.

use super::MIN_MAGNITUDE;
use crate::compute::dtype::PLANES;

/// Factor from largest magnitude to scale: every device rounds a product alike.
const SHARE: f32 = 0.007_874_016;

/// Quantizes a head and returns its scale. A head with NaN or infinity gets zero codes and a NaN scale, so it reads
/// back as NaN.
///
/// # Panics
/// If the numbers of codes and values differ.
pub fn quantize(values: &[f32], codes: &mut [u8]) -> f32 {
    assert_eq!(values.len(), codes.len(), "codes of a head");
    // Compare bits: NaN has the largest.
    let largest = values.iter().map(|value| value.abs().to_bits()).max().map_or(0.0, f32::from_bits);
    let scale = match () {
        () if !largest.is_finite() => f32::NAN,
        () if largest < MIN_MAGNITUDE => 0.0,
        () => f32::from_bits(((largest * SHARE).to_bits() + 0x80) & !0xff),
    };
    codes.fill(0);
    if scale > 0.0 {
        for (code, value) in codes.iter_mut().zip(values) {
            *code = (value / scale).round_ties_even() as i8 as u8;
        }
    }
    scale
}

/// Converts a head's codes to values.
pub(super) fn dequantize([codes, scale, _]: [&[u8]; PLANES], values: &mut [f32]) {
    let scale = scale.as_chunks().0.first().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
    values.iter_mut().zip(codes).for_each(|(value, code)| *value = scale * f32::from(*code as i8));
}

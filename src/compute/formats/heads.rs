//! `q8` of keys and values: a signed byte for each element of a head, and the head's scale.
//!
//! scale = largest magnitude / 127, to 16 binary digits, so that scale · code is exact in single precision, and what is in the
//! middle between two codes too; code = x / scale, rounded to nearest, ties to even. Every backend finds the same codes: a
//! quotient that is rounded once is on the side of a tie that the exact one is on, and where a device's is not, `lib/heads`
//! looks at what a code leaves.

use super::LEAST;
use crate::compute::dtype::PLANES;

/// The largest magnitude times this is the scale: a product, which every device rounds alike.
const SHARE: f32 = 0.007_874_016;

/// Quantises a head, and returns its scale. A head with a number that is none, or endless, has codes of zero and a scale
/// that is no number, so that all of it is none when it is read.
///
/// # Panics
/// If there are not as many codes as values.
pub fn quantise(values: &[f32], codes: &mut [u8]) -> f32 {
    assert_eq!(values.len(), codes.len(), "codes of a head");
    // By bits, of which a number that is none has the largest.
    let largest = values.iter().map(|value| value.abs().to_bits()).max().map_or(0.0, f32::from_bits);
    let scale = match () {
        () if !largest.is_finite() => f32::NAN,
        () if largest < LEAST => 0.0,
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

/// The values of a head's codes.
pub(super) fn dequantise([codes, scale, _]: [&[u8]; PLANES], values: &mut [f32]) {
    let scale = scale.as_chunks().0.first().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
    values.iter_mut().zip(codes).for_each(|(value, code)| *value = scale * f32::from(*code as i8));
}

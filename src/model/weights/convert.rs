//! Checks weights during loading, and converts them to f16 for matrix units.

use bytemuck::Pod;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use crate::compute::dtype::DType;

/// The smallest magnitude that rounds to infinity in f16.
const OVERFLOW: f32 = 65520.0;

/// Values per thread task, and values per inner block, which fits in the L1 cache.
const PORTION: usize = 1 << 18;
const BLOCK: usize = 4096;

/// The result of checking values, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Found {
    /// All values fit the target type.
    Fit,
    /// Some values have no finite value in the narrower type.
    Wide,
    /// Some values are NaN or infinite.
    NotFinite,
}

/// Converts values into `out`, rounded to nearest, on all cores, and returns the result of the check. `out` is valid
/// only if all values fit.
///
/// # Panics
/// If `out` has a wrong length, or the type is not a float. The only conversion is to f16.
pub fn convert(from: DType, to: DType, data: &[u8], out: &mut [u8]) -> Found {
    assert!(to == from || to == DType::F16, "{from} to {to}");
    let [read, written] = [from, to].map(|dtype| dtype.bytes() as usize);
    assert_eq!(data.len() / read, out.len() / written, "values");
    let portions = out.par_chunks_mut(PORTION * written).zip(data.par_chunks(PORTION * read));
    let found = portions.map(|(out, data)| {
        let blocks = out.chunks_mut(BLOCK * written).zip(data.chunks(BLOCK * read));
        blocks.map(|(out, data)| block((from, to), data, out)).max().unwrap_or(Found::Fit)
    });
    found.max().unwrap_or(Found::Fit)
}

/// Converts stored floats to f32.
///
/// # Panics
/// If the lengths differ, or the type is not a float.
pub fn widen(from: DType, data: &[u8], f32s: &mut [f32]) {
    assert_eq!(data.len(), f32s.len() * from.bytes() as usize, "values");
    match from {
        DType::F16 => {
            let f16_words = data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32());
            f32s.iter_mut().zip(f16_words).for_each(|(target, half)| *target = half);
        }
        DType::Bf16 => {
            let bits = data.as_chunks().0.iter().map(|bytes| u32::from(u16::from_le_bytes(*bytes)) << 16);
            f32s.iter_mut().zip(bits).for_each(|(target, bits)| *target = f32::from_bits(bits));
        }
        DType::F32 => {
            let values = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            f32s.iter_mut().zip(values).for_each(|(target, value)| *target = value);
        }
        _ => panic!("{from} is not a float"),
    }
}

/// Compares magnitudes as integer bit patterns, which the compiler vectorizes.
fn block((from, to): (DType, DType), data: &[u8], out: &mut [u8]) -> Found {
    let narrower = to != from;
    let mut f32s = [0.0; BLOCK];
    let (found, count) = match from {
        DType::Bf16 => {
            let words = data.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
            let largest = words.clone().fold(0, |largest, bits| largest.max(bits & 0x7fff));
            if narrower {
                let places = f32s.iter_mut().zip(words);
                places.for_each(|(target, bits)| *target = f32::from_bits(u32::from(bits) << 16));
            }
            (found(largest, bf16::INFINITY.to_bits(), bf16::from_f32(OVERFLOW).to_bits(), narrower), data.len() / 2)
        }
        DType::F32 => {
            let words = data.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
            let largest = words.clone().fold(0, |largest, bits| largest.max(bits & 0x7fff_ffff));
            if narrower {
                f32s.iter_mut().zip(words).for_each(|(target, bits)| *target = f32::from_bits(bits));
            }
            (found(largest, f32::INFINITY.to_bits(), OVERFLOW.to_bits(), narrower), data.len() / 4)
        }
        DType::F16 => {
            let words = data.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
            let largest = words.fold(0, |largest, bits| largest.max(bits & 0x7fff));
            (found(largest, f16::INFINITY.to_bits(), u16::MAX, narrower), data.len() / 2)
        }
        _ => panic!("{from} is not a float"),
    };
    if narrower {
        let mut f16_words = [f16::ZERO; BLOCK];
        f16_words[..count].convert_from_f32_slice(&f32s[..count]);
        out.copy_from_slice(bytemuck::cast_slice(&f16_words[..count]));
    } else {
        out.copy_from_slice(data);
    }
    found
}

fn found<T: Pod + Ord>(largest: T, infinite: T, overflow: T, narrower: bool) -> Found {
    match () {
        () if largest >= infinite => Found::NotFinite,
        () if narrower && largest >= overflow => Found::Wide,
        () => Found::Fit,
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::{DType, Found, convert};

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
    }

    fn found(from: DType, to: DType, data: &[u8]) -> Found {
        convert(from, to, data, &mut vec![0; data.len() / from.bytes() as usize * to.bytes() as usize])
    }

    #[test]
    fn what_would_become_infinite_does_not_fit() {
        let brains = |values: &[f32]| found(DType::Bf16, DType::F16, &bytes(values));
        assert_eq!(brains(&[65280.0, -65280.0, 0.0, 1e-30]), Found::Fit);
        assert_eq!(brains(&[0.0, 65536.0]), Found::Wide);
        assert_eq!(brains(&[-1e9]), Found::Wide);
        assert_eq!(brains(&[f32::NAN, -1e9]), Found::NotFinite);
        let narrowed = |value: f32| found(DType::F32, DType::F16, &value.to_le_bytes());
        assert_eq!([65519.0, -65520.0, f32::NEG_INFINITY].map(narrowed), [Found::Fit, Found::Wide, Found::NotFinite]);
    }

    #[test]
    fn what_is_no_number_is_found_in_every_type_and_place() {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let of = |value: f32| match dtype {
                DType::F32 => value.to_le_bytes().to_vec(),
                DType::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                _ => bf16::from_f32(value).to_le_bytes().to_vec(),
            };
            let good = of(-6e4).repeat(600_001);
            assert_eq!(found(dtype, dtype, &good), Found::Fit, "{dtype}");
            for at in [0, 4095, 4096, 300_000, 600_000] {
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let (mut bad, bytes) = (good.clone(), dtype.bytes() as usize);
                    bad[at * bytes..(at + 1) * bytes].copy_from_slice(&of(value));
                    assert_eq!(found(dtype, dtype, &bad), Found::NotFinite, "{dtype}: {value} at {at}");
                }
            }
        }
    }

    #[test]
    fn values_keep_their_order_over_all_portions() {
        let values: Vec<f32> = (0..3_000_000).map(|i| (i % 4001) as f32 / 64.0 - 20.0).collect();
        let (data, mut same) = (bytes(&values), vec![0; 6_000_000]);
        let mut converted = same.clone();
        assert_eq!(convert(DType::Bf16, DType::Bf16, &data, &mut same), Found::Fit);
        assert!(same == data);
        assert_eq!(convert(DType::Bf16, DType::F16, &data, &mut converted), Found::Fit);
        for (half, value) in converted.as_chunks::<2>().0.iter().zip(values) {
            assert_eq!(f16::from_le_bytes(*half).to_f32(), f16::from_f32(bf16::from_f32(value).to_f32()).to_f32());
        }
    }
}

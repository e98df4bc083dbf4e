//! Weights in half precision, which matrix units take.

use std::{num::NonZeroUsize, thread};

use half::{bf16, f16, slice::HalfFloatSliceExt};

use crate::dtype::DType;

/// The least magnitude that rounds to infinity in half precision.
const OVERFLOW: f32 = 65520.0;

/// Bytes that one thread converts at a time.
const PORTION: usize = 1 << 20;

/// Whether every value of a tensor has a half that is finite.
pub fn fit(dtype: DType, data: &[u8]) -> bool {
    let small = |value: f32| value.abs() < OVERFLOW;
    portions(data, |data| match dtype {
        // By the bits, as integers, which compilers turn into vector code.
        DType::Bf16 => {
            !words(data).fold(false, |any, bits| any | (bits & 0x7fff >= bf16::from_f32(OVERFLOW).to_bits()))
        }
        DType::F32 => singles(data).all(small),
        DType::F16 | DType::U32 => true,
    })
    .into_iter()
    .all(|fits| fits)
}

/// The same values in half precision, rounded to nearest.
///
/// # Panics
/// For words.
pub fn convert(dtype: DType, data: &[u8]) -> Vec<u8> {
    let converted = portions(data, |data| {
        let values: Vec<f32> = match dtype {
            DType::F32 => singles(data).collect(),
            DType::Bf16 => words(data).map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
            DType::F16 => words(data).map(|bits| f16::from_bits(bits).to_f32()).collect(),
            DType::U32 => panic!("words are not floats"),
        };
        let mut halves = vec![f16::ZERO; values.len()];
        halves.convert_from_f32_slice(&values);
        bytemuck::allocation::pod_collect_to_vec::<f16, u8>(&halves)
    });
    converted.concat()
}

fn words(data: &[u8]) -> impl Iterator<Item = u16> {
    data.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes))
}

fn singles(data: &[u8]) -> impl Iterator<Item = f32> {
    data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// What `work` makes of each portion, in order, on as many threads as are worth it.
fn portions<T: Send>(data: &[u8], work: impl Fn(&[u8]) -> T + Sync) -> Vec<T> {
    let portions: Vec<_> = data.chunks(PORTION).collect();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = portions.len().div_ceil(threads).max(1);
    if portions.len() <= 1 {
        return portions.into_iter().map(work).collect();
    }
    thread::scope(|scope| {
        let running = portions.chunks(share).map(|share| {
            let work = &work;
            scope.spawn(move || share.iter().map(|portion| work(portion)).collect::<Vec<_>>())
        });
        let running: Vec<_> = running.collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a thread that converts does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::{DType, convert, fit};

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
    }

    #[test]
    fn what_would_become_infinite_does_not_fit() {
        assert!(fit(DType::Bf16, &bytes(&[65280.0, -65280.0, 0.0, 1e-30])));
        assert!(!fit(DType::Bf16, &bytes(&[0.0, 65536.0])));
        assert!(!fit(DType::Bf16, &bytes(&[-1e9])));
        assert!(fit(DType::F32, &65519.0_f32.to_le_bytes()));
        assert!(!fit(DType::F32, &(-65520.0_f32).to_le_bytes()));
    }

    #[test]
    fn values_keep_their_order_over_all_portions() {
        let values: Vec<f32> = (0..3_000_000).map(|i| (i % 4001) as f32 / 64.0 - 20.0).collect();
        let converted = convert(DType::Bf16, &bytes(&values));
        let (halves, _) = converted.as_chunks::<2>();
        assert_eq!(halves.len(), values.len());
        for (half, value) in halves.iter().zip(values) {
            assert_eq!(f16::from_le_bytes(*half).to_f32(), f16::from_f32(bf16::from_f32(value).to_f32()).to_f32());
        }
    }
}

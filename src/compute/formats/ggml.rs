//! GGML's blocks, as in GGUF files, and their conversion to planes: the same bits in another order.
//!
//! GGML puts the 4-bit codes of two weights that are 16, 32 or 64 apart into one byte; a plane stores neighboring codes
//! together. Bits above the fourth have their own plane, also in weight order.

use half::f16;

use super::{LARGEST, Row, all_finite};
use crate::compute::dtype::DType;
use crate::compute::dtype::{BLOCK, PLANES, Planes};

/// Blocks of 32 weights in a super-block of the K formats.
const BLOCKS: usize = 8;

/// Block layout of a format in a file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Blocks {
    /// Weights per block; a row is a whole number of blocks.
    pub weights: usize,
    /// Bytes per block.
    pub bytes: usize,
    /// Byte offsets of the f16 scales in a block, each with the largest integer it multiplies.
    scales: &'static [(usize, f32)],
}

impl Blocks {
    /// The block layout of a GGML format.
    ///
    /// # Panics
    /// If the format is not GGML's.
    pub fn of(dtype: DType) -> Self {
        let (weights, bytes, scales): (_, _, &[(usize, f32)]) = match dtype {
            DType::Q8 => (32, 34, &[(0, 128.0)]),
            DType::Q4_0 => (32, 18, &[(0, 8.0)]),
            // A weight is the difference of two products.
            DType::Q4K => (256, 144, &[(0, 2.0 * 63.0 * 15.0), (2, 2.0 * 63.0)]),
            DType::Q5K => (256, 176, &[(0, 2.0 * 63.0 * 31.0), (2, 2.0 * 63.0)]),
            DType::Q6K => (256, 210, &[(208, 128.0 * 32.0)]),
            _ => panic!("{dtype} is not a GGML format"),
        };
        Self { weights, bytes, scales }
    }

    /// Bytes of a row of `width` weights.
    pub fn row(self, width: usize) -> usize {
        width / self.weights * self.bytes
    }

    /// The first block with an unusable scale, and that scale: NaN, or so large that weights could exceed the range of
    /// f16.
    pub fn find_unfit(self, data: &[u8]) -> Option<(usize, f32)> {
        let mut blocks = data.chunks_exact(self.bytes).enumerate();
        blocks.find_map(|(at, block)| {
            let mut scales = self.scales.iter().map(|(from, factor)| (half_at(block, *from), factor));
            // Comparisons with NaN are false.
            let fits = |(scale, factor): &(f32, &f32)| scale.abs() * **factor <= LARGEST;
            scales.find(|scale| !fits(scale)).map(|(scale, _)| (at, scale))
        })
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Splits one row of blocks into one row of each plane.
///
/// # Panics
/// If the format is not GGML's, or a plane has the wrong length.
pub fn split(dtype: DType, row: &[u8], [codes, words, units]: [&mut [u8]; PLANES]) {
    let Blocks { weights, bytes, .. } = Blocks::of(dtype);
    let width = row.len() / bytes * weights;
    assert_eq!([codes.len(), words.len(), units.len()], Planes::of(dtype, [1, width as u32]).row, "{dtype}: planes");
    let [per_codes, per_words, per_units] = [codes.len(), words.len(), units.len()].map(|all| all / (width / weights));
    for (at, block) in row.chunks_exact(bytes).enumerate() {
        let codes = &mut codes[at * per_codes..(at + 1) * per_codes];
        let words = &mut words[at * per_words..(at + 1) * per_words];
        let units = &mut units[at * per_units..(at + 1) * per_units];
        match dtype {
            DType::Q8 => {
                words.copy_from_slice(&block[..2]);
                codes.copy_from_slice(&block[2..]);
            }
            DType::Q4_0 => {
                words.copy_from_slice(&block[..2]);
                pack(codes, |at| block[2 + at % 16] >> (at / 16 * 4));
            }
            DType::Q4K => {
                words.copy_from_slice(&block[..16]);
                pack(codes, |at| block[16 + at / 64 * 32 + at % 32] >> (at % 64 / 32 * 4));
            }
            DType::Q5K => {
                words.copy_from_slice(&block[..16]);
                pack(codes, |at| block[48 + at / 64 * 32 + at % 32] >> (at % 64 / 32 * 4));
                for (byte, from) in units.iter_mut().zip((0..256).step_by(8)) {
                    *byte = (0..8).fold(0, |byte, i| byte | (block[16 + (from + i) % 32] >> (from / 32) & 1) << i);
                }
            }
            _ => {
                words.copy_from_slice(&block[192..]);
                pack(codes, |at| block[at / 128 * 64 + at % 64] >> (at % 128 / 64 * 4));
                for (byte, from) in units.iter_mut().zip((0..256).step_by(4)) {
                    let high = |at: usize| block[128 + at / 128 * 32 + at % 32] >> (at % 128 / 32 * 2) & 3;
                    *byte = (0..4).fold(0, |byte, i| byte | high(from + i) << (2 * i));
                }
            }
        }
    }
}

/// Packs two codes per byte, the first one low. Only the lowest four bits of `code` count.
fn pack(codes: &mut [u8], code: impl Fn(usize) -> u8) {
    codes.iter_mut().enumerate().for_each(|(at, byte)| *byte = code(2 * at) & 15 | code(2 * at + 1) << 4);
}

/// Converts a row of planes to weights.
pub(super) fn dequantize(row: &Row<'_>, weights: &mut [f32]) {
    let [codes, words, units] = row.planes;
    let low = |at: usize| codes[at / 2] >> (at % 2 * 4) & 15;
    for (block, weights) in weights.chunks_exact_mut(BLOCK).enumerate() {
        let (above, at) = (block / BLOCKS, block * BLOCK);
        let weights = weights.iter_mut().enumerate();
        match row.dtype {
            DType::Q4_0 => {
                let scale = half_at(words, 2 * block);
                weights.for_each(|(i, weight)| *weight = scale * (f32::from(low(at + i)) - 8.0));
            }
            DType::Q4K | DType::Q5K => {
                let [scale, minimum] = terms(&words[16 * above..][..16], block % BLOCKS);
                let fifth = |at: usize| units.get(at / 8).map_or(0, |byte| byte >> (at % 8) & 1);
                weights.for_each(|(i, weight)| {
                    *weight = scale * f32::from(low(at + i) | fifth(at + i) << 4) - minimum;
                });
            }
            _ => {
                let header = &words[18 * above..][..18];
                let high = |at: usize| units[at / 4] >> (at % 4 * 2) & 3;
                weights.for_each(|(i, weight)| {
                    let scale = half_at(header, 16) * f32::from(header[2 * (block % BLOCKS) + i / 16] as i8);
                    *weight = scale * (f32::from(low(at + i) | high(at + i) << 4) - 32.0);
                });
            }
        }
    }
}

/// Scale and minimum of one of the eight blocks described by these 16 bytes: two f16 values, each times a 6-bit
/// integer. The two high bits of the last four integers lie beside the six bits of the first four.
fn terms(header: &[u8], block: usize) -> [f32; 2] {
    let [scales, mins, both] = [4, 8, 12].map(|from| header[from + block % 4]);
    let [scale, minimum] = match block < 4 {
        true => [scales & 63, mins & 63],
        false => [both & 15 | scales >> 6 << 4, both >> 4 | mins >> 6 << 4],
    };
    [half_at(header, 0) * f32::from(scale), half_at(header, 2) * f32::from(minimum)]
}

/// Whether all scales of a row of planes are finite.
pub(super) fn is_finite(row: &Row<'_>) -> bool {
    match row.dtype {
        DType::Q4_0 => all_finite(row.planes[1]),
        DType::Q4K | DType::Q5K => row.planes[1].chunks_exact(16).all(|header| all_finite(&header[..4])),
        _ => row.planes[1].chunks_exact(18).all(|header| all_finite(&header[16..])),
    }
}

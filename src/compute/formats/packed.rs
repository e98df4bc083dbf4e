//! Rows of x for products of packed bytes: 16-bit integers, with one scale per block of 32.
//!
//! An integer is 256 · high byte + low byte, both signed, and at most 32,512 in magnitude. The bytes of a row form four
//! runs, each with 16 bytes per block: the high bytes of the first block halves, of the second halves, then the low
//! bytes likewise. A second plane has four f32 per block: the scale, the sum of each half's elements, and zero.

use super::MIN_MAGNITUDE;
use crate::compute::dtype::{BLOCK, PLANES, Packs};

/// The largest magnitude.
const MAX_CODE: f32 = 32512.0;

/// Packs whole blocks of a row of `width` elements, from element `at` on. Calls `put` with a plane, the word offset in
/// the row's part of that plane, and four words.
///
/// # Panics
/// If `at` or the length of `x` is not a multiple of the block size.
pub(crate) fn pack(packs: Packs, x: &[f32], [at, width]: [usize; 2], mut put: impl FnMut(usize, usize, [u32; 4])) {
    assert!(at.is_multiple_of(BLOCK) && x.len().is_multiple_of(BLOCK), "packed rows are written in whole blocks");
    for (block, x) in (at / BLOCK..).zip(x.chunks(BLOCK)) {
        let (scale, numbers) = numbers(x);
        let mut codes = [[0; 4]; 4];
        for (i, number) in numbers.iter().enumerate() {
            let (half, place) = (i / 16, place(packs, i) % 16);
            for (run, byte) in [(half, (number + 128) >> 8), (2 + half, *number)] {
                codes[run][place / 4] |= u32::from(byte as u8) << (place % 4 * 8);
            }
        }
        for (run, words) in codes.into_iter().enumerate() {
            put(0, 4 * (run * (width / BLOCK) + block), words);
        }
        let sum = |half: &[i32]| scale * half.iter().sum::<i32>() as f32;
        put(1, 4 * block, [scale, sum(&numbers[..16]), sum(&numbers[16..]), 0.0].map(f32::to_bits));
    }
}

/// Packs a row of whole blocks into one row of each plane.
pub(super) fn quantize(packs: Packs, x: &[f32], mut planes: [&mut [u8]; PLANES]) {
    pack(packs, x, [0, x.len()], |plane, word, words| {
        planes[plane][4 * word..][..16].copy_from_slice(bytemuck::cast_slice(&words));
    });
}

/// The values of whole blocks after packing.
pub(crate) fn rounded(x: &[f32]) -> Vec<f32> {
    let block = |x: &[f32]| {
        let (scale, numbers) = numbers(x);
        numbers.into_iter().map(move |number| number as f32 * scale)
    };
    x.chunks(BLOCK).flat_map(block).collect()
}

/// The scale of a block, and its elements divided by it. A NaN input makes the scale NaN.
fn numbers(x: &[f32]) -> (f32, Vec<i32>) {
    // Compare bits: NaN has the largest.
    let largest = x.iter().map(|x| x.abs().to_bits()).max().map_or(0.0, f32::from_bits);
    let (scale, inverse) = if largest < MIN_MAGNITUDE { (0.0, 0.0) } else { (largest / MAX_CODE, MAX_CODE / largest) };
    (scale, x.iter().map(|x| (x * inverse).round_ties_even() as i32).collect())
}

/// Converts a row's codes to values.
pub(super) fn dequantize(packs: Packs, [codes, terms, _]: [&[u8]; PLANES], values: &mut [f32]) {
    let (run, terms) = (values.len() / 2, terms.as_chunks::<4>().0);
    for (i, value) in values.iter_mut().enumerate() {
        let (block, inside) = (i / BLOCK, i % BLOCK);
        let at = inside / 16 * run + block * 16 + place(packs, inside) % 16;
        let number = 256.0 * f32::from(codes[at] as i8) + f32::from(codes[at + 2 * run] as i8);
        *value = f32::from_le_bytes(terms[4 * block]) * number;
    }
}

/// The position of element `i` in its block.
fn place(packs: Packs, i: usize) -> usize {
    match packs {
        Packs::Bytes => i,
        Packs::Nibbles => i / 8 * 8 + i % 2 * 4 + i % 8 / 2,
    }
}

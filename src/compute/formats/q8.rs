//! `q8`: a scale for each 32 weights, and a signed byte for each weight.

use half::f16;

use super::ROUND;
use crate::compute::dtype::{BLOCK, PLANES};

/// Codes range from −127 to 127.
const MAX_CODE: f32 = 127.0;

pub(super) fn quantize(weights: &[f32], [codes, words, _]: [&mut [u8]; PLANES]) {
    let blocks = weights.chunks_exact(BLOCK).zip(codes.chunks_exact_mut(BLOCK)).zip(words.as_chunks_mut().0);
    for ((weights, codes), word) in blocks {
        let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let scale = f16::from_f32(largest / MAX_CODE);
        *word = scale.to_le_bytes();
        let inverse = if scale == f16::ZERO { 0.0 } else { 1.0 / scale.to_f32() };
        for (code, weight) in codes.iter_mut().zip(weights) {
            // The lowest byte is the rounded integer.
            let place = (weight * inverse).clamp(-MAX_CODE, MAX_CODE);
            *code = (place + ROUND).to_bits() as u8;
        }
    }
}

pub(super) fn dequantize([codes, words, _]: [&[u8]; PLANES], weights: &mut [f32]) {
    let blocks = weights.chunks_exact_mut(BLOCK).zip(codes.chunks_exact(BLOCK)).zip(words.as_chunks().0);
    for ((weights, codes), word) in blocks {
        let scale = f16::from_le_bytes(*word).to_f32();
        weights.iter_mut().zip(codes).for_each(|(weight, code)| *weight = scale * f32::from(*code as i8));
    }
}

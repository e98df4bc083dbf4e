use proptest::prelude::*;

use super::*;
use crate::compute::dtype::{BLOCK, UNIT};

/// Quantizes a row: returns the bytes in each plane, and the dequantized weights.
fn round_trip(dtype: DType, weights: &[f32]) -> Result<(Vec<Vec<u8>>, Vec<f32>), Unfit> {
    let mut planes = Planes::of(dtype, [1, weights.len() as u32]).row.map(|bytes| vec![0; bytes]);
    quantize(dtype, weights, planes.each_mut().map(Vec::as_mut_slice))?;
    let back = Row { dtype, planes: planes.each_ref().map(Vec::as_slice) }.to_vec();
    Ok((planes.into(), back))
}

/// Numbers distributed like trained weights.
fn normal(count: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| 0.02 * (0..12).map(|_| unit()).sum::<f32>()).collect()
}

fn relative_error(weights: &[f32], back: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
    square(&mut weights.iter().zip(back).map(|(a, b)| a - b)) / square(&mut weights.iter().copied())
}

#[test]
fn errors_of_a_normal_distribution() {
    let weights = normal(1 << 16);
    for (dtype, bound) in [(DType::Q8, 3e-5), (DType::Q4, 3.8e-3)] {
        let error = relative_error(&weights, &round_trip(dtype, &weights).unwrap().1);
        println!("{dtype}: {error:.3e} of the squared weights");
        assert!(error < bound, "{dtype}: {error}");
    }
}

#[test]
fn sizes() {
    let bits = |dtype: DType| dtype.size([1024, 1024]) as f64 * 8.0 / f64::from(1 << 20);
    assert_eq!([DType::Q8, DType::Q4].map(bits), [8.5, 4.5625]);
    let planes = Planes::of(DType::Q4, [3, 288]);
    assert_eq!((planes.row, planes.start, planes.bytes), ([144, 18, 4], [0, 432, 496], 512));
    assert_eq!(planes.row(2), [288..432, 468..486, 504..508]);
}

const GGML: [DType; 5] = [DType::Q8, DType::Q4_0, DType::Q4K, DType::Q5K, DType::Q6K];

#[test]
fn blocks_take_no_more_in_planes() {
    for dtype in GGML {
        assert_eq!(dtype.size([32, 512]), 32 * Blocks::of(dtype).row(512) as u64, "{dtype}");
    }
    let planes = Planes::of(DType::Q6K, [3, 256]);
    assert_eq!((planes.row, planes.start, planes.bytes), ([128, 18, 64], [0, 384, 448], 640));
}

/// Each bit of a block has its own place in the planes, so no bit is lost.
#[test]
fn bits_of_blocks_are_kept() {
    for dtype in GGML {
        let Blocks { weights, bytes, .. } = Blocks::of(dtype);
        let planes = |block: &[u8]| {
            let mut planes = Planes::of(dtype, [1, 2 * weights as u32]).row.map(|bytes| vec![0; bytes]);
            split(dtype, block, planes.each_mut().map(Vec::as_mut_slice));
            planes.concat()
        };
        let mut seen = vec![0; 2 * bytes];
        for bit in 0..16 * bytes {
            let mut row = vec![0; 2 * bytes];
            row[bit / 8] = 1 << (bit % 8);
            let found = planes(&row);
            assert_eq!(found.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1, "{dtype}: bit {bit}");
            seen.iter_mut().zip(found).for_each(|(seen, found)| *seen |= found);
        }
        assert!(seen.iter().all(|byte| *byte == 255), "{dtype}");
    }
}

/// Bit for bit the values that GGML's own package gives for blocks that use every bit.
#[test]
fn blocks_are_what_their_format_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gguf/blocks.safetensors");
    let bytes = std::fs::read(file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (dtype, name) in GGML.into_iter().zip(["Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K"]) {
        let [blocks, values] = ["blocks", "values"].map(|part| tensors.tensor(&format!("{name}.{part}")).unwrap());
        let width = values.shape()[1];
        let rows = blocks.data().chunks(Blocks::of(dtype).row(width)).zip(values.data().chunks(4 * width));
        let mut count = 0;
        for (blocks, values) in rows {
            let mut planes = Planes::of(dtype, [1, width as u32]).row.map(|bytes| vec![0; bytes]);
            split(dtype, blocks, planes.each_mut().map(Vec::as_mut_slice));
            let found = Row { dtype, planes: planes.each_ref().map(Vec::as_slice) }.to_vec();
            let wanted: Vec<f32> = values.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            assert_eq!(found, wanted, "{dtype}");
            count += 1;
        }
        assert_eq!(count, 3, "{dtype}");
    }
}

#[test]
fn known_codes() {
    let weights: Vec<f32> = (0..32).map(|i| (i - 16) as f32 / 16.0 * 127.0).collect();
    let (planes, back) = round_trip(DType::Q8, &weights).unwrap();
    assert_eq!(planes[1], f16::ONE.to_le_bytes());
    assert_eq!((planes[0][0] as i8, planes[0][16] as i8, planes[0][31] as i8), (-127, 0, 119));
    assert_eq!((back[0], back[17]), (-127.0, 8.0));
    // Unit 0.5, distance 2 + 4, place 9: values start at −(10.3125 − 3.375) · 3 and are 3 apart.
    let row = [&[0x50; 16][..], &[0x92, 0x92], &f16::from_f32(0.5).to_le_bytes()];
    assert_eq!(Row { dtype: DType::Q4, planes: row }.to_vec()[..2], [-20.8125, -5.8125]);
}

#[test]
fn what_cannot_be_quantized_is_told() {
    for dtype in [DType::Q8, DType::Q4] {
        for (value, why) in [
            (f32::NAN, Unfit::NotFinite),
            (f32::INFINITY, Unfit::NotFinite),
            (f32::NEG_INFINITY, Unfit::NotFinite),
            (1e9, Unfit::Wide),
            (-65_505.0, Unfit::Wide),
        ] {
            let mut weights = normal(320);
            weights[177] = value;
            assert_eq!(round_trip(dtype, &weights).unwrap_err(), why, "{dtype}: {value}");
        }
    }
}

#[test]
fn scales_that_are_no_numbers_are_found() {
    let nan = f16::NAN.to_le_bytes();
    let q8 = [&[1; 32][..], &nan, &[]];
    let q4 = [&[1; 16][..], &[0x7c, 0x7c], &nan];
    assert!(!Row { dtype: DType::Q8, planes: q8 }.is_finite());
    assert!(!Row { dtype: DType::Q4, planes: q4 }.is_finite());
    assert!(Row { dtype: DType::Q4, planes: [q4[0], &nan, &f16::ONE.to_le_bytes()] }.is_finite());
    for (dtype, scales) in
        [(DType::Q8, &[0][..]), (DType::Q4_0, &[0]), (DType::Q4K, &[0, 2]), (DType::Q5K, &[0, 2]), (DType::Q6K, &[208])]
    {
        let blocks = Blocks::of(dtype);
        for at in (0..blocks.bytes - 1).step_by(2) {
            let mut row = vec![0; 2 * blocks.bytes];
            row[blocks.bytes + at..][..2].copy_from_slice(&nan);
            let mut planes = Planes::of(dtype, [1, 2 * blocks.weights as u32]).row.map(|bytes| vec![0; bytes]);
            split(dtype, &row, planes.each_mut().map(Vec::as_mut_slice));
            let finite = Row { dtype, planes: planes.each_ref().map(Vec::as_slice) }.is_finite();
            assert_eq!(finite, !scales.contains(&at), "{dtype}: byte {at}");
            assert_eq!(blocks.find_unfit(&row).map(|(block, _)| block), (!finite).then_some(1), "{dtype}");
        }
    }
}

proptest! {
    /// For all weights, the error is bounded by the range of the weights around them.
    #[test]
    fn errors_are_bounded(
        weights in prop::collection::vec(prop_oneof![-1.0_f32..1.0, Just(0.0), -6e4_f32..6e4, -1e-4_f32..1e-4], 1..20),
        repeat in 1_usize..20,
        exponent in -10_i32..1,
    ) {
        let mut row: Vec<f32> = weights.iter().map(|w| w * 2_f32.powi(exponent)).collect::<Vec<_>>().repeat(repeat);
        row.resize(row.len().next_multiple_of(BLOCK), 0.125);
        for (dtype, share) in [(DType::Q8, 1.0 / 200.0), (DType::Q4, 0.5)] {
            let (_, back) = round_trip(dtype, &row).unwrap();
            let together = if dtype == DType::Q8 { BLOCK } else { UNIT };
            for (weights, back) in row.chunks(together).zip(back.chunks(together)) {
                let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
                for (weight, back) in weights.iter().zip(back) {
                    prop_assert!((weight - back).abs() <= share * largest + 1e-5, "{dtype}: {back} for {weight}");
                }
            }
        }
    }

    /// Values that `q8` can represent stay exact.
    #[test]
    fn values_of_q8_are_kept(scale in 64_u16..1000, codes in prop::collection::vec(-127_i8..=127, 31)) {
        let scale = f16::from_bits(scale << 4).to_f32();
        let row: Vec<f32> = codes.iter().chain([&127]).map(|code| f32::from(*code) * scale).collect();
        prop_assert_eq!(round_trip(DType::Q8, &row).unwrap().1, row);
    }
}

/// Quantizes a head: returns its scale, and the dequantized values.
fn kept(values: &[f32]) -> (f32, Vec<f32>) {
    let mut codes = vec![0; values.len()];
    let scale = heads::quantize(values, &mut codes);
    let row = Row { dtype: DType::Q8Heads, planes: [&codes, &scale.to_le_bytes(), &[]] };
    (scale, row.to_vec())
}

#[test]
fn a_head_loses_at_most_half_a_step() {
    for size in [1e-20, 0.003, 1.0, 77.7, 1e30] {
        let values: Vec<f32> = (0..256).map(|i| size * ((i * 97 % 256) as f32 - 127.9) / 100.0).collect();
        let (scale, kept) = kept(&values);
        let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert!((scale * 127.0 / largest - 1.0).abs() < 1e-5 && scale.to_bits() & 0xff == 0, "{size}: {scale}");
        for (value, kept) in values.iter().zip(kept) {
            // Rounding the scale moves the ends.
            assert!((value - kept).abs() <= 0.502 * scale, "{size}: {value} became {kept}");
        }
    }
}

#[test]
fn middles_go_to_the_even_code_and_their_neighbors_to_the_nearest() {
    for scale in [1.0, 3.0, 1.999_969_5, 0.000_7_f32].map(|scale| f32::from_bits(scale.to_bits() & !0xff)) {
        for code in 0..126 {
            let middle = (code as f32 + 0.5) * scale;
            let [below, above] = [-1, 1].map(|by| f32::from_bits(middle.to_bits().wrapping_add_signed(by)));
            let (found, kept) = kept(&[127.0 * scale, middle, below, above, -middle]);
            let even = (code + code % 2) as f32;
            assert_eq!(found, scale);
            let codes = [even, code as f32, code as f32 + 1.0, -even];
            assert_eq!(kept[1..], codes.map(|code| code * scale), "{code} and a half times {scale}");
        }
    }
}

#[test]
fn what_is_no_number_makes_a_head_none_and_tiny_ones_zero() {
    for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (scale, kept) = kept(&[1.0, odd, 0.0]);
        assert!(scale.is_nan() && kept.iter().all(|value| value.is_nan()), "{odd}");
    }
    for tiny in [0.0, -0.0, 1e-40, 7e-31] {
        assert_eq!(kept(&[tiny, -tiny]), (0.0, vec![0.0; 2]), "{tiny}");
    }
    let (scale, kept) = kept(&[f32::MAX, 1.0, -f32::MAX]);
    assert!(scale.is_finite() && kept[0] == -kept[2] && kept[1] == 0.0 && kept[0].is_finite(), "{kept:?}");
}

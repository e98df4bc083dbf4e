//! Sections 2.4 and 6.7: matrices of SIMD groups.

use half::f16;

use super::snippet::{bytes, snippet};

fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 17) as f32 * 0.25 - 2.0).collect()
}

/// a · b of 8 × 8, row by row; `at` gives the index of an element in an operand.
fn product(a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let element = |at: usize| (0..8).map(|k| a(at / 8, k) * b(k, at % 8)).sum::<f32>();
    (0..64).map(element).collect()
}

const BUFFERS: &str = "device const half* a [[buffer(1)]], device const float* b [[buffer(2)]],";

#[test]
fn halves_are_multiplied_into_floats() {
    let (a, b) = (values(64, 1), values(64, 2));
    let f16_words: Vec<f16> = a.iter().map(|v| f16::from_f32(*v)).collect();
    let text =
        "simdgroup_half8x8 left; simdgroup_float8x8 right, sum = make_filled_simdgroup_matrix<float, 8, 8>(1.5f);
        simdgroup_load(left, a, 8);
        simdgroup_load(right, b, 8);
        simdgroup_multiply_accumulate(sum, left, right, sum);
        simdgroup_store(sum, out, 8);";
    let got = snippet(BUFFERS, text).run(64, &[bytes(&f16_words), bytes(&b)]);
    let wanted: Vec<f32> = product(|i, k| a[8 * i + k], |k, j| b[8 * k + j]).iter().map(|v| v + 1.5).collect();
    assert_eq!(got, wanted);
}

#[test]
fn loads_and_stores_may_be_transposed_and_offset() {
    let (a, b) = (values(64, 3), values(20 * 12, 4));
    let f16_words: Vec<f16> = a.iter().map(|v| f16::from_f32(*v)).collect();
    let text = "simdgroup_half8x8 left; simdgroup_matrix<float, 8, 8> right, sum;
        simdgroup_load(left, a, 8, ulong2(0, 0), true);
        simdgroup_load(right, b, 12, ulong2(3, 2));
        simdgroup_multiply(sum, left, right);
        simdgroup_store(sum, out, 9, ulong2(1, 0), true);";
    let got = snippet(BUFFERS, text).run(9 * 8, &[bytes(&f16_words), bytes(&b)]);
    let wanted = product(|i, k| a[8 * k + i], |k, j| b[12 * (k + 2) + j + 3]);
    for (i, j) in (0..8).flat_map(|i| (0..8).map(move |j| (i, j))) {
        assert_eq!(got[9 * j + i + 1], wanted[8 * i + j], "at {i}, {j}");
    }
    assert!(got[9].is_nan(), "what is not part of the matrix stays");
}

#[test]
fn matrices_pass_through_the_memory_of_a_group() {
    let (a, b) = (values(64, 5), values(64, 6));
    let f16_words: Vec<f16> = a.iter().map(|v| f16::from_f32(*v)).collect();
    // Each SIMD group has its own scale on the diagonal.
    let text = "threadgroup half tile[64]; threadgroup float sums[2 * 64];
        for (uint i = lane; i < 64; i += 64) tile[i] = a[i];
        threadgroup_barrier(mem_flags::mem_threadgroup);
        uint team = lane / 32;
        simdgroup_half8x8 left; simdgroup_float8x8 scale(float(team + 1)), product;
        simdgroup_load(left, tile, 8);
        simdgroup_multiply(product, left, scale);
        simdgroup_store(product, sums + 64 * team, 8);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = lane % 32; i < 64; i += 32) out[64 * team + i] = sums[64 * team + i] + b[i];";
    let got = snippet(BUFFERS, text).lanes(64).run(128, &[bytes(&f16_words), bytes(&b)]);
    let wanted = |team: usize| a.iter().zip(&b).map(move |(a, b)| a * (team + 1) as f32 + b);
    assert_eq!(got, wanted(0).chain(wanted(1)).collect::<Vec<_>>());
}

#[test]
fn sums_of_halves_are_rounded_to_halves() {
    let ones = [f16::ONE; 64];
    let text =
        "simdgroup_half8x8 left, sum = make_filled_simdgroup_matrix<half, 8, 8>(2048.0h); simdgroup_float8x8 wide;
        simdgroup_half8x8 little = make_filled_simdgroup_matrix<half, 8, 8>(0.0625h);
        simdgroup_half8x8 one = make_diagonal_simdgroup_matrix<half, 8, 8>(1.0h);
        simdgroup_load(left, a, 8);
        for (uint i = 0; i < 4; i++) simdgroup_multiply_accumulate(sum, left, little, sum);
        simdgroup_multiply(wide, sum, one);
        simdgroup_store(wide, out, 8);";
    let got = snippet(BUFFERS, text).run(64, &[bytes(&ones), bytes(&[0.0f32])]);
    assert_eq!(got, [2048.0; 64], "2048.5 is no half");
}

#[test]
fn columns_are_turned_into_rows() {
    let text = "float4x4 m(float4(0, 1, 2, 3), float4(4, 5, 6, 7), float4(8, 9, 10, 11), float4(12, 13, 14, 15));
        m[3] = m[3] + 1.0f;
        float4x4 turned = transpose(m);
        if (lane < 4) for (uint i = 0; i < 4; i++) out[4 * lane + i] = turned[lane][i];";
    let got = snippet(BUFFERS, text).run(16, &[bytes(&[0.0f32]), bytes(&[0.0f32])]);
    let wanted = [0.0, 4.0, 8.0, 13.0, 1.0, 5.0, 9.0, 14.0, 2.0, 6.0, 10.0, 15.0, 3.0, 7.0, 11.0, 16.0];
    assert_eq!(got, wanted);
}

//! Section 6.9.2: SIMD-group functions in sequence.

use super::snippet::snippet;

/// Lanes that run ahead to a function with larger values must not overwrite values that others still need.
#[test]
fn one_meeting_after_another() {
    let text = "float sum = simd_sum(float(lane));
        float4 moved = simd_shuffle_xor(float4(sum, lane, 2 * lane, 1), 1);
        out[lane] = moved.x + 1000 * moved.y + 0.5 * moved.z;";
    let got = snippet("", text).run(32, &[]);
    let wanted = |lane: u32| 496.0 + 1001.0 * (lane ^ 1) as f32;
    assert_eq!(got, (0..32).map(wanted).collect::<Vec<_>>());
}

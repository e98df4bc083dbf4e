//! Section 6.9: functions across the lanes of a SIMD group.

use super::snippet::{Wanted, snippet, table};

/// A function of the lane's number.
fn on(lane: f32, wanted: fn(i32) -> i32) -> f64 {
    f64::from(wanted(lane as i32))
}

fn expect(wanted: &[Wanted<'_>]) {
    table("", wanted, 0.0);
}

#[test]
fn shuffles_take_a_lane_s_value() {
    expect(&[
        ("simd_shuffle(v, 5)", |i| on(i, |_| 6)),
        ("simd_shuffle(v, ushort(31 - id))", |i| on(i, |i| 32 - i)),
        ("simd_shuffle_xor(v, 3)", |i| on(i, |i| (i ^ 3) + 1)),
        ("simd_shuffle_up(v, 4)", |i| on(i, |i| if i < 4 { i + 1 } else { i - 3 })),
        ("simd_shuffle_down(v, 4)", |i| on(i, |i| if i > 27 { i + 1 } else { i + 5 })),
        ("simd_shuffle_rotate_up(v, 3)", |i| on(i, |i| (i + 29) % 32 + 1)),
        ("simd_shuffle_rotate_down(v, 3)", |i| on(i, |i| (i + 3) % 32 + 1)),
        ("simd_broadcast(v, 7)", |i| on(i, |_| 8)),
        ("simd_broadcast_first(v)", |i| on(i, |_| 1)),
        ("simd_shuffle_down(float4(v), 2).z", |i| on(i, |i| if i > 29 { i + 1 } else { i + 3 })),
        ("simd_shuffle_down(half(v), 1)", |i| on(i, |i| if i > 30 { i + 1 } else { i + 2 })),
        ("dot(float4(v, simd_shuffle_down(v, 1), simd_shuffle_down(v, 2), 0.0f), float4(1, 100, 10000, 1))", |i| {
            on(i, |i| {
                let at = |by: i32| if i + by > 31 { i + 1 } else { i + by + 1 };
                at(0) + 100 * at(1) + 10000 * at(2)
            })
        }),
    ]);
}

#[test]
fn folds_take_all_lanes() {
    expect(&[
        ("simd_sum(v)", |i| on(i, |_| 528)),
        ("simd_sum(id)", |i| on(i, |_| 496)),
        ("simd_sum(half2(v, 1.0h)).y", |i| on(i, |_| 32)),
        ("simd_sum(float4(v)).w", |i| on(i, |_| 528)),
        ("simd_max(v)", |i| on(i, |_| 32)),
        ("simd_min(-v)", |i| on(i, |_| -32)),
        ("simd_max(int(id) - 9)", |i| on(i, |_| 22)),
        ("simd_product(id < 4 ? v : 1.0f)", |i| on(i, |_| 24)),
        ("simd_or(1u << (id % 5u))", |i| on(i, |_| 31)),
        ("simd_and(id | 6u)", |i| on(i, |_| 6)),
        ("simd_xor(id == 3 ? 9u : 0u)", |i| on(i, |_| 9)),
        ("simd_all(v > 0.0f)", |i| on(i, |_| 1)),
        ("simd_all(v > 1.0f)", |i| on(i, |_| 0)),
        ("simd_any(v > 31.0f)", |i| on(i, |_| 1)),
        ("simd_any(v > 32.0f)", |i| on(i, |_| 0)),
        ("ulong(simd_ballot(id < 5))", |i| on(i, |_| 31)),
        ("popcount(uint(ulong(simd_active_threads_mask())))", |i| on(i, |_| 32)),
        ("simd_is_first()", |i| on(i, |i| i32::from(i == 0))),
    ]);
}

#[test]
fn prefixes_go_up_to_a_lane() {
    expect(&[
        ("simd_prefix_inclusive_sum(v)", |i| on(i, |i| (i + 1) * (i + 2) / 2)),
        ("simd_prefix_exclusive_sum(v)", |i| on(i, |i| i * (i + 1) / 2)),
        ("simd_prefix_exclusive_sum(1u)", |i| on(i, |i| i)),
        ("simd_prefix_inclusive_product(id < 3 ? v : 1.0f)", |i| on(i, |i| [1, 2, 6][i.min(2) as usize])),
        ("simd_prefix_exclusive_product(id < 3 ? v : 1.0f)", |i| on(i, |i| [1, 1, 2, 6][i.min(3) as usize])),
    ]);
}

#[test]
fn quads_are_four_neighbors() {
    expect(&[
        ("quad_sum(v)", |i| on(i, |i| 4 * (i / 4 * 4) + 10)),
        ("quad_max(v)", |i| on(i, |i| i / 4 * 4 + 4)),
        ("quad_min(v)", |i| on(i, |i| i / 4 * 4 + 1)),
        ("quad_broadcast(v, 2)", |i| on(i, |i| i / 4 * 4 + 3)),
        ("quad_shuffle_xor(v, 1)", |i| on(i, |i| (i ^ 1) + 1)),
        ("quad_shuffle_up(v, 1)", |i| on(i, |i| if i % 4 == 0 { i + 1 } else { i })),
        ("quad_shuffle_down(v, 1)", |i| on(i, |i| if i % 4 == 3 { i + 1 } else { i + 2 })),
    ]);
}

#[test]
fn barriers_order_what_lanes_leave_for_others() {
    let text = "threadgroup float left[96];
        left[lane] = lane;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        out[lane] = left[(lane + 40) % 96];";
    let got = snippet("", text).lanes(96).run(96, &[]);
    assert_eq!(got, (0..96).map(|i| ((i + 40) % 96) as f32).collect::<Vec<_>>());
    let text = "threadgroup float left[64];
        left[lane] = lane;
        simdgroup_barrier(mem_flags::mem_threadgroup);
        out[lane] = left[lane ^ 17];";
    let got = snippet("", text).lanes(64).run(64, &[]);
    assert_eq!(got, (0..64).map(|i| (i ^ 17) as f32).collect::<Vec<_>>());
}

#[test]
fn a_group_may_end_in_a_part_of_a_simd_group() {
    let got = snippet("", "out[lane] = simd_sum(1.0f);").lanes(40).run(40, &[]);
    assert_eq!(got, [[32.0; 32].as_slice(), &[8.0; 8]].concat());
}

//! Section 6.9: what lanes do together.

use super::stand::snippet;

fn lanes(expression: &str) -> Vec<f32> {
    snippet("", &format!("uint id = lane % 32u; float v = float(id) + 1.0f; out[lane] = float({expression});"))
        .run(32, &[])
}

fn expect(expression: &str, wanted: impl Fn(i32) -> i32) {
    assert_eq!(lanes(expression), (0..32).map(|i| wanted(i) as f32).collect::<Vec<_>>(), "{expression}");
}

#[test]
fn shuffles_take_a_lane_s_value() {
    expect("simd_shuffle(v, 5)", |_| 6);
    expect("simd_shuffle(v, ushort(31 - id))", |i| 32 - i);
    expect("simd_shuffle_xor(v, 3)", |i| (i ^ 3) + 1);
    expect("simd_shuffle_up(v, 4)", |i| if i < 4 { i + 1 } else { i - 3 });
    expect("simd_shuffle_down(v, 4)", |i| if i > 27 { i + 1 } else { i + 5 });
    expect("simd_shuffle_rotate_up(v, 3)", |i| (i + 29) % 32 + 1);
    expect("simd_shuffle_rotate_down(v, 3)", |i| (i + 3) % 32 + 1);
    expect("simd_broadcast(v, 7)", |_| 8);
    expect("simd_broadcast_first(v)", |_| 1);
    expect("simd_shuffle_down(float4(v), 2).z", |i| if i > 29 { i + 1 } else { i + 3 });
    expect("simd_shuffle_down(half(v), 1)", |i| if i > 30 { i + 1 } else { i + 2 });
    expect("dot(float4(v, simd_shuffle_down(v, 1), simd_shuffle_down(v, 2), 0.0f), float4(1, 100, 10000, 1))", |i| {
        let at = |by: i32| if i + by > 31 { i + 1 } else { i + by + 1 };
        at(0) + 100 * at(1) + 10000 * at(2)
    });
}

#[test]
fn folds_take_all_lanes() {
    expect("simd_sum(v)", |_| 528);
    expect("simd_sum(id)", |_| 496);
    expect("simd_sum(half2(v, 1.0h)).y", |_| 32);
    expect("simd_sum(float4(v)).w", |_| 528);
    expect("simd_max(v)", |_| 32);
    expect("simd_min(-v)", |_| -32);
    expect("simd_max(int(id) - 9)", |_| 22);
    expect("simd_product(id < 4 ? v : 1.0f)", |_| 24);
    expect("simd_or(1u << (id % 5u))", |_| 31);
    expect("simd_and(id | 6u)", |_| 6);
    expect("simd_xor(id == 3 ? 9u : 0u)", |_| 9);
    expect("simd_all(v > 0.0f)", |_| 1);
    expect("simd_all(v > 1.0f)", |_| 0);
    expect("simd_any(v > 31.0f)", |_| 1);
    expect("simd_any(v > 32.0f)", |_| 0);
    expect("ulong(simd_ballot(id < 5))", |_| 31);
    expect("popcount(uint(ulong(simd_active_threads_mask())))", |_| 32);
    expect("simd_is_first()", |i| i32::from(i == 0));
}

#[test]
fn prefixes_go_up_to_a_lane() {
    expect("simd_prefix_inclusive_sum(v)", |i| (i + 1) * (i + 2) / 2);
    expect("simd_prefix_exclusive_sum(v)", |i| i * (i + 1) / 2);
    expect("simd_prefix_exclusive_sum(1u)", |i| i);
    expect("simd_prefix_inclusive_product(id < 3 ? v : 1.0f)", |i| [1, 2, 6][i.min(2) as usize]);
    expect("simd_prefix_exclusive_product(id < 3 ? v : 1.0f)", |i| [1, 1, 2, 6][i.min(3) as usize]);
}

#[test]
fn quads_are_four_neighbours() {
    expect("quad_sum(v)", |i| 4 * (i / 4 * 4) + 10);
    expect("quad_max(v)", |i| i / 4 * 4 + 4);
    expect("quad_min(v)", |i| i / 4 * 4 + 1);
    expect("quad_broadcast(v, 2)", |i| i / 4 * 4 + 3);
    expect("quad_shuffle_xor(v, 1)", |i| (i ^ 1) + 1);
    expect("quad_shuffle_up(v, 1)", |i| if i % 4 == 0 { i + 1 } else { i });
    expect("quad_shuffle_down(v, 1)", |i| if i % 4 == 3 { i + 1 } else { i + 2 });
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

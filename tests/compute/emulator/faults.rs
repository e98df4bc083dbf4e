//! Forbidden actions of a shader, and their error messages.

use bimetal::low_level::compute::metal::emulator::Order;

use super::snippet::{Snippet, bytes, snippet, whole};

/// Both lane orders report all of these texts.
fn says(snippet: &Snippet, count: usize, buffers: &[&[u8]], wanted: &[&str]) {
    for error in snippet.refused(count, buffers) {
        wanted.iter().for_each(|part| assert!(error.contains(part), "{error} does not say {part}"));
    }
}

#[test]
fn lanes_that_meet_at_different_places() {
    let text =
        "float s = 0.0f;\nif (lane < 7) {\ns = simd_sum(1.0f);\n} else {\ns = simd_max(2.0f);\n}\nout[lane] = s;";
    says(&snippet("", text), 32, &[], &["snippet", "apart", "s = simd_sum(1.0f);", "s = simd_max(2.0f);", "line 7"]);
    let text = "if (lane < 40)\nthreadgroup_barrier(mem_flags::mem_threadgroup);\nelse\nthreadgroup_barrier(mem_flags::mem_device);";
    says(&snippet("", text).lanes(64), 1, &[], &["apart", "mem_threadgroup", "mem_device"]);
    let text = "if (lane < 32)\nthreadgroup_barrier(mem_flags::mem_threadgroup);\nelse if (lane != 33)\nsimdgroup_barrier(mem_flags::mem_threadgroup);";
    says(&snippet("", text).lanes(64), 1, &[], &["forever", "threadgroup_barrier", "simdgroup_barrier"]);
}

#[test]
fn lanes_that_return_before_others_wait() {
    let text = "if (lane == 3) return;\nout[lane] = simd_sum(1.0f);";
    says(&snippet("", text), 32, &[], &["waits", "simd_sum", "returned", "1 of them"]);
    let text = "if (lane > 32) return;\nthreadgroup_barrier(mem_flags::mem_threadgroup);";
    says(&snippet("", text).lanes(64), 1, &[], &["threadgroup_barrier", "returned", "31 of them"]);
}

#[test]
fn matrices_that_not_all_lanes_agree_on() {
    let text = "simdgroup_float8x8 m = make_filled_simdgroup_matrix<float, 8, 8>(1.0f);\nsimdgroup_store(m, out + lane / 16, 8);";
    says(&snippet("", text), 80, &[], &["disagree", "simdgroup_store"]);
    let text = "simdgroup_float8x8 m = make_filled_simdgroup_matrix<float, 8, 8>(1.0f);\nif (lane != 5)\nsimdgroup_store(m, out, 8);";
    says(&snippet("", text), 80, &[], &["disagree"]);
}

#[test]
fn buffers_end_where_they_end() {
    let numbers = [1.0f32; 5];
    let one = "device const float* x [[buffer(1)]],";
    says(
        &snippet(one, "out[lane] = x[lane < 5 ? lane : 5];"),
        32,
        &[bytes(&numbers)],
        &["byte 20 of buffer `x` of 20 bytes"],
    );
    says(&snippet("", "out[lane] = 1.0f;"), 31, &[], &["lane 31", "byte 124 of buffer `out`"]);
    says(&snippet("", "out[int(lane) - 2000] = 1.0f;"), 32, &[], &["before buffer `out`"]);
    says(
        &snippet(one, "out[lane] = ((device const float*)(x - 0x4000000000ul))[0];"),
        32,
        &[bytes(&numbers)],
        &["no buffer's"],
    );
    let four = "device const packed_float4* x [[buffer(1)]],";
    assert_eq!(snippet(four, "out[lane] = x[0].w + 1.0f;").run(32, &[bytes(&numbers)]), [2.0; 32]);
}

#[test]
fn vectors_may_lie_at_multiples_of_4() {
    // A buffer ends directly before the guard page, wherever that makes it start.
    let text = "device const float4* x [[buffer(1)]],";
    assert_eq!(snippet(text, "out[lane] = x[0].w;").run(32, &[bytes(&[1.0f32, 2.0, 3.0, 4.0, 5.0])]), [4.0; 32]);
}

#[test]
fn group_memory_ends_where_it_ends() {
    // An array of known length in the kernel, and access through a pointer.
    let text = "threadgroup float tile[20]; tile[lane < 20 ? lane : 0] = 1.0f; out[lane] = tile[lane];";
    says(
        &snippet("", text),
        32,
        &[],
        &["indexes an array past its end", "lane 20"].map(|s| if s == "lane 20" { "lane" } else { s }),
    );
    let text = "float own[4] = {1, 2, 3, 4}; out[lane] = own[lane % 8];";
    says(&snippet("", text), 32, &[], &["indexes an array past its end"]);
    let function = "inline void put(threadgroup float* tile, uint at) {\n    tile[at] = 1.0f;\n}
        kernel void snippet(device float* out [[buffer(0)]], uint lane [[thread_index_in_threadgroup]]) {
            threadgroup float tile[20];
            put(tile, lane);
            out[lane] = tile[0];
        }";
    says(&whole(function).lanes(32), 32, &[], &["outside of threadgroup memory `tile`"]);
}

#[test]
fn memory_is_poison_at_first() {
    let text = "threadgroup float tile[64]; float own[2]; if (lane == 99) { tile[0] = 1; own[0] = 1; }
        out[3 * lane] = tile[lane]; out[3 * lane + 1] = own[lane % 2];";
    let got = snippet("", text).run(96, &[]);
    assert!(got.iter().all(|value| value.is_nan()), "{got:?}");
    // Each workgroup starts with poisoned memory.
    let text = "threadgroup float tile[1]; if (lane == 0) { out[group.x] = tile[0]; tile[0] = 1; }";
    assert!(snippet("", text).groups([9, 1, 1]).run(9, &[]).iter().all(|value| value.is_nan()));
}

#[test]
fn group_memory_is_limited() {
    let text = "threadgroup float a[8192]; a[lane] = 1; out[lane] = a[lane];";
    assert_eq!(snippet("", text).run(32, &[]), [1.0; 32]);
    let text = "threadgroup float a[8192]; threadgroup float b[1]; a[lane] = 1; b[0] = 0; out[lane] = a[lane];";
    says(&snippet("", text), 32, &[], &["32784 bytes of threadgroup memory", "`b`", "32768"]);
}

#[test]
fn dispatches_that_do_not_fit_their_kernel() {
    assert!(snippet("", "").lanes(1025).refused(1, &[]).iter().all(|error| error.contains("1025 lanes")));
    says(&snippet("device float* x [[buffer(1)]],", "x[0] = 1;"), 1, &[], &["nothing is bound to buffer 1, `x`"]);
}

#[test]
fn a_missing_barrier_shows() {
    let exchange = |other: &str| {
        snippet("", &format!("threadgroup float tile[64]; tile[lane] = lane; out[lane] = tile[{other}];"))
    };
    let poisoned = |other: &str, order| {
        let got = exchange(other).lanes(64).attempt(order, 64, &[]).unwrap();
        got.iter().filter(|value| value.is_nan()).count()
    };
    // A lane cannot see the writes of lanes that run after it. So for each direction, one of the two orders shows it.
    let counts = |other: &str| [Order::Alternating, Order::Opposite].map(|order| poisoned(other, order));
    assert_eq!(counts("min(lane + 1, 63u)"), [63, 0]);
    assert_eq!(counts("lane == 0 ? 0 : lane - 1"), [0, 63]);
    // For an exchange, both orders show it.
    assert_eq!(counts("lane ^ 1"), [32, 32]);
}

#[test]
fn a_barrier_must_order_something() {
    says(&snippet("", "threadgroup_barrier(mem_flags::mem_none);"), 1, &[], &["orders no memory"]);
}

#[test]
fn work_after_a_failure_is_as_good_as_before() {
    let broken = snippet("", "if (lane == 3) return;\nout[lane] = simd_sum(1.0f);");
    for _ in 0..3 {
        assert!(broken.attempt(Order::Alternating, 32, &[]).is_err());
        assert_eq!(snippet("", "out[lane] = simd_sum(1.0f);").run(32, &[]), [32.0; 32]);
    }
}

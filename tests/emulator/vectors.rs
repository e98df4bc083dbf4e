//! Sections 2.1, 2.2 and 2.19: scalars, vectors, constructors, swizzles, conversions.

use super::stand::{bytes, snippet};

#[test]
fn arrays_by_pointer() {
    let text = "threadgroup atomic_uint counts[256]; threadgroup uint3 found;
        ulong orders[2];
        #pragma unroll
        for (uint i = 0; i < 2; i++) orders[i] = lane + i;
        atomic_store_explicit(&counts[lane], 0u, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        atomic_fetch_add_explicit(&counts[uint(orders[1]) % 256], 1u, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        uint count = atomic_load_explicit(&counts[lane], memory_order_relaxed);
        uint sum = simd_prefix_inclusive_sum(count); if (lane > 31) out = out + 0;
        if (lane == 7) found = uint3(sum, count, 5);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (lane < 32) out[lane] = float(sum) + 100.0 * found.x + 10000.0 * found.z;";
    let got = snippet("", text).lanes(256).run(32, &[]);
    assert_eq!(got, (0..32).map(|i| (i + 1 + 800 + 50000) as f32).collect::<Vec<_>>());
    _ = bytes(&[0u32]);
}

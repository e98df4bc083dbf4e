//! Sections 2.6 and 6.15: atomics.

use super::snippet::snippet;

#[test]
fn lanes_and_groups_meet_in_one_word() {
    let text = "threadgroup atomic_uint count; threadgroup atomic_int smallest, largest; threadgroup atomic_uint bits;
        if (lane == 0) {
            atomic_store_explicit(&count, 0u, memory_order_relaxed);
            atomic_store_explicit(&smallest, 100, memory_order_relaxed);
            atomic_store_explicit(&largest, -100, memory_order_relaxed);
            atomic_store_explicit(&bits, 0u, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        atomic_fetch_add_explicit(&count, 2u, memory_order_relaxed);
        atomic_fetch_min_explicit(&smallest, int(lane) - 5, memory_order_relaxed);
        atomic_fetch_max_explicit(&largest, int(lane) - 5, memory_order_relaxed);
        atomic_fetch_or_explicit(&bits, 1u << lane % 4, memory_order_relaxed);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        device atomic_float* sums = (device atomic_float*)out;
        if (lane == 0) {
            out[4 + group.x] = atomic_load_explicit(&count, memory_order_relaxed);
            out[8 + group.x] = atomic_load_explicit(&smallest, memory_order_relaxed);
            out[12 + group.x] = atomic_load_explicit(&largest, memory_order_relaxed);
            out[16 + group.x] = atomic_exchange_explicit(&bits, 7u, memory_order_relaxed);
            out[20 + group.x] = atomic_load_explicit(&bits, memory_order_relaxed);
            uint seven = 7, six = 6;
            bool swapped = atomic_compare_exchange_weak_explicit(&bits, &seven, 9u, memory_order_relaxed, memory_order_relaxed);
            bool kept = !atomic_compare_exchange_weak_explicit(&bits, &six, 9u, memory_order_relaxed, memory_order_relaxed);
            out[24 + group.x] = swapped && kept && six == 9;
            atomic_store_explicit(&sums[group.x], 0.0f, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_device);
        atomic_fetch_add_explicit(&sums[group.x], 0.5f, memory_order_relaxed);";
    let got = snippet("", text).lanes(64).groups([4, 1, 1]).run(28, &[]);
    let wanted: Vec<f32> = [32.0, 128.0, -5.0, 58.0, 15.0, 7.0, 1.0].iter().flat_map(|value| [*value; 4]).collect();
    assert_eq!(got, wanted);
}

#[test]
fn groups_count_in_device_memory() {
    // The first lane starts with a word that the host wrote.
    let text = "device atomic_uint* word = (device atomic_uint*)out;
        if (lane == 0) atomic_fetch_sub_explicit(word, 1u, memory_order_relaxed);";
    let got = snippet("", text).groups([100, 1, 1]).run(1, &[]);
    assert_eq!(got[0].to_bits(), u32::MAX - 100);
}

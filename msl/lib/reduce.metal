// Sums over the lanes of a threadgroup: each SIMD group adds its own values, then the sums of all SIMD groups.

constant constexpr uint REDUCE_PARTS = (LANES + SIMD - 1) / SIMD;

// The sum of all lanes' values, in every lane. All lanes must call it, once for the same `parts` of REDUCE_PARTS
// numbers. After it, all lanes see earlier writes to threadgroup memory.
inline float reduce_sum(float value, uint lane, threadgroup float* parts) {
    const float sum = simd_sum(value);
    if (lane % SIMD == 0) {
        parts[lane / SIMD] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return simd_sum(lane % SIMD < REDUCE_PARTS ? parts[lane % SIMD] : 0.0f);
}

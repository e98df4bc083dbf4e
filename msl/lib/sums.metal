// Sums over teams of TEAM neighboring lanes, VALUES sums at once. TEAM is a power of two: a team is a part of a SIMD
// group, a whole one, or several, which exchange their sums through threadgroup memory.

static_assert((TEAM & (TEAM - 1)) == 0 && LANES % TEAM == 0, "whole teams");

constant constexpr uint SUMS_SUBGROUPS = TEAM > SIMD ? TEAM / SIMD : 1;
constant constexpr uint SUMS_PARTS = SUMS_SUBGROUPS > 1 ? VALUES * (LANES / SIMD) : 1;

// The sum of a team's values within a SIMD group, in each of its lanes.
inline float subgroup_sum(float value) {
    if (TEAM >= SIMD) {
        return simd_sum(value);
    }
    for (uint reach = 1; reach < TEAM; reach *= 2) {
        value += simd_shuffle_xor(value, ushort(reach));
    }
    return value;
}

// Replaces each value by the sum of its team, in all of its lanes. The order depends on TEAM alone. All lanes of the
// threadgroup must call it; `parts` has SUMS_PARTS places.
inline void team_sums(thread float* values, uint lane, threadgroup float* parts) {
    #pragma unroll
    for (uint i = 0; i < VALUES; i++) {
        values[i] = subgroup_sum(values[i]);
    }
    if (SUMS_SUBGROUPS > 1) {
        if (lane % SIMD == 0) {
            for (uint i = 0; i < VALUES; i++) {
                parts[lane / SIMD * VALUES + i] = values[i];
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        #pragma unroll
        for (uint i = 0; i < VALUES; i++) {
            values[i] = 0.0f;
            for (uint subgroup = 0; subgroup < SUMS_SUBGROUPS; subgroup++) {
                values[i] += parts[(lane / TEAM * SUMS_SUBGROUPS + subgroup) * VALUES + i];
            }
        }
        // From here `parts` is free for the next sums.
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
}

// Sums over teams of TEAM neighboring lanes of one SIMD group. TEAM is a power of two.

static_assert((TEAM & (TEAM - 1)) == 0 && TEAM <= SIMD, "lanes of a team");

// The sum of a team's values, in each of its lanes, in the order of a tree. All lanes of the SIMD group must call it.
template <typename T> inline T team_sum(T value) {
    #pragma unroll
    for (uint distance = 1; distance < TEAM; distance *= 2) {
        value += simd_shuffle_xor(value, distance);
    }
    return value;
}

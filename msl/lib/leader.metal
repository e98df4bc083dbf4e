// The largest key of the lanes of a workgroup.

constant constexpr uint NONE = 0xffffffff;
constant constexpr uint LEADER_PARTS = (LANES + SIMD - 1) / SIMD;

// The pair (key, id) with a SIMD group's largest key. Of equal keys the lowest id wins.
inline uint2 simd_leader(uint2 pair) {
    const uint key = simd_max(pair.x);
    return uint2(key, simd_min(pair.x == key ? pair.y : NONE));
}

// The same for all lanes, in every lane. All lanes must call it; `parts` has LEADER_PARTS pairs.
inline uint2 leader(uint2 pair, uint lane, threadgroup uint2* parts) {
    const uint2 first = simd_leader(pair);
    if (lane % SIMD == 0) {
        parts[lane / SIMD] = first;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint2 found = uint2(0, NONE);
    if (lane % SIMD < LEADER_PARTS) {
        found = parts[lane % SIMD];
    }
    return simd_leader(found);
}

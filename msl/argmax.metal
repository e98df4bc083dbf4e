// leaders[r, p] = the largest key of logits[r, i] and the least such i, of part p of the logits below limit; NONE where none is above −∞
// logits [S, WIDTH], leaders [S, PARTS] of (key, id)
// one group for SLICE logits of a row; a lane takes every LANES-th
struct Params {
    uint limit;
};

constant constexpr uint INFINITE = 0x7f800000;
constant constexpr uint SIGN = 0x80000000;

// A key in the order of the values, with equal keys for both zeros: 0 for −∞, all ones for NaN.
inline uint key_of(float value) {
    const uint bits = as_type<uint>(value);
    const uint size = bits & ~SIGN;
    if (size > INFINITE) {
        return NONE;
    }
    return bits >= SIGN ? INFINITE - size : INFINITE + size;
}

kernel void argmax(
    device const uint* step [[buffer(0)]],
    device const float* logits [[buffer(1)]],
    device uint2* leaders [[buffer(2)]],
    constant Params& params [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup uint2 parts[LEADER_PARTS];
    const uint row = group.y;
    if (row >= row_count(step)) {
        return;
    }
    const uint end = min((group.x + 1) * SLICE, params.limit);
    uint2 best = uint2(0, NONE);
    for (uint at = group.x * SLICE + lane; at < end; at += AHEAD * LANES) {
        // Past the end the last logit repeats, which changes nothing.
        float ahead[AHEAD];
        #pragma unroll
        for (uint i = 0; i < AHEAD; i++) {
            ahead[i] = logits[row * WIDTH + min(at + i * LANES, end - 1)];
        }
        #pragma unroll
        for (uint i = 0; i < AHEAD; i++) {
            const uint key = key_of(ahead[i]);
            if (key > best.x) {
                best = uint2(key, min(at + i * LANES, end - 1));
            }
        }
    }
    const uint2 found = leader(best, lane, parts);
    if (lane == 0) {
        leaders[row * PARTS + group.x] = found;
    }
}

// y[first + r, k] = w[r, k] as f16
// w [count, K], f16 or what becomes it, y [rows, K], f16
// one group for SHARE · LANES pairs of quads; a lane has every LANES-th of them
struct Params {
    uint first;
    uint count;
};

// Pairs of quads in a row.
constant constexpr uint PAIRS = K / (4 * W_WIDE);

kernel void dequantize(
    device const Quad_w* w [[buffer(0)]],
    device Quad_y* y [[buffer(1)]],
    constant Params& params [[buffer(2)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    const uint begin = group.x * SHARE * LANES + lane;
    const uint end = params.count * PAIRS;
    device uint4* pairs = (device uint4*)y + params.first * PAIRS;
    // All loads come before the first store: the compiler cannot know that w and y do not overlap.
    half4 quads[SHARE][2];
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        const uint at = min(begin + i * LANES, end - 1);
        quads[i][0] = half4(quad_of(w, 2 * at));
        quads[i][1] = half4(quad_of(w, 2 * at + 1));
    }
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        if (begin + i * LANES < end) {
            pairs[begin + i * LANES] = uint4(as_type<uint2>(quads[i][0]), as_type<uint2>(quads[i][1]));
        }
    }
}

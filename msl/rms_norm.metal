// y[r, i] = x[r, i] / sqrt(mean(x[r]²) + eps) · (1 + weight[i])
// x [T, WIDTH], weight [1, WIDTH], y [T, WIDTH]
// one group a row; a lane keeps every LANES-th quad in registers
struct Params {
    float eps;
};

constant constexpr uint QUADS = WIDTH / 4;
constant constexpr uint KEPT = (QUADS + LANES - 1) / LANES;

kernel void rms_norm(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device const Quad_weight* weight [[buffer(2)]],
    device Quad_y* y [[buffer(3)]],
    constant Params& params [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[REDUCE_PARTS];
    const uint row = group.x;
    if (row >= row_count(step)) {
        return;
    }
    float4 values[KEPT];
    float4 squares = 0.0f;
    #pragma unroll
    for (uint j = 0; j < KEPT; j++) {
        const uint i = j * LANES + lane;
        values[j] = i < QUADS ? unpack(x[row * QUADS + i]) : float4(0.0f);
        squares = fma(values[j], values[j], squares);
    }
    const float sum = reduce_sum((squares.x + squares.y) + (squares.z + squares.w), lane, parts);
    const float scale = rsqrt(sum / float(WIDTH) + params.eps);
    #pragma unroll
    for (uint j = 0; j < KEPT; j++) {
        const uint i = j * LANES + lane;
        if (i < QUADS) {
            y[row * QUADS + i] = pack<Quad_y>(values[j] * scale * (1.0f + unpack(weight[i])));
        }
    }
}

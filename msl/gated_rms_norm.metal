// y[r, h] = o[r, h] / sqrt(mean(o[r, h]²) + eps) · weight · silu(z[r, h]): a plain norm, then the gate
// o [T, Hv·Dv], x [T, STRIDE] with z from column Z on, weight [1, Dv], y [T, Hv·Dv]
// one group a value head and row; a lane keeps every LANES-th quad in registers
struct Params {
    float eps;
};

constant constexpr uint QUADS = VALUE_WIDTH / 4;
constant constexpr uint KEPT = (QUADS + LANES - 1) / LANES;

kernel void gated_rms_norm(
    device const uint* step [[buffer(0)]],
    device const Quad_o* o [[buffer(1)]],
    device const Quad_x* x [[buffer(2)]],
    device const Quad_weight* weight [[buffer(3)]],
    device Quad_y* y [[buffer(4)]],
    constant Params& params [[buffer(5)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[REDUCE_PARTS];
    const uint head = group.x;
    const uint row = group.y;
    if (row >= row_count(step)) {
        return;
    }
    const uint first = (row * VALUE_HEADS + head) * QUADS;
    const uint gate = row * (STRIDE / 4) + Z / 4 + head * QUADS;
    float4 values[KEPT];
    float4 squares = 0.0f;
    #pragma unroll
    for (uint j = 0; j < KEPT; j++) {
        const uint i = j * LANES + lane;
        values[j] = i < QUADS ? unpack(o[first + i]) : float4(0.0f);
        squares = fma(values[j], values[j], squares);
    }
    const float sum = reduce_sum((squares.x + squares.y) + (squares.z + squares.w), lane, parts);
    const float scale = rsqrt(sum / float(VALUE_WIDTH) + params.eps);
    #pragma unroll
    for (uint j = 0; j < KEPT; j++) {
        const uint i = j * LANES + lane;
        if (i < QUADS) {
            const float4 normed = values[j] * scale * unpack(weight[i]);
            y[first + i] = pack<Quad_y>(normed * silu(unpack(x[gate + i])));
        }
    }
}

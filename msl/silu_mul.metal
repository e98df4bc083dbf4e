// y[r, i] = silu(x[r, i]) · x[r, WIDTH + i]
// x [T, 2·WIDTH], gate first, y [T, WIDTH]
// one group for LANES quads of a row, one to a lane
constant constexpr uint QUADS = WIDTH / 4;

kernel void silu_mul(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device Quad_y* y [[buffer(2)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    const uint i = group.x * LANES + lane;
    const uint row = group.y;
    if (row >= row_count(step) || i >= QUADS) {
        return;
    }
    const float4 gate = unpack(x[2 * row * QUADS + i]);
    const float4 up = unpack(x[(2 * row + 1) * QUADS + i]);
    y[row * QUADS + i] = pack<Quad_y>(silu(gate) * up);
}

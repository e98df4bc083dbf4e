// y[i] = x[outputs[i]]: the rows that want logits
// x [T, WIDTH], y [S, WIDTH]
// one group an output; a lane copies every LANES-th quad
constant constexpr uint QUADS = WIDTH / 4;

kernel void gather_rows(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device Quad_y* y [[buffer(2)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    const uint output = group.x;
    if (output >= row_count(step)) {
        return;
    }
    const uint row = output_row(step, output);
    for (uint i = lane; i < QUADS; i += LANES) {
        y[output * QUADS + i] = pack<Quad_y>(unpack(x[row * QUADS + i]));
    }
}

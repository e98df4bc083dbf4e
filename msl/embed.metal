// x[r] = table[ids[r] − first], for the ids that this part of the table holds
// table [count, WIDTH], x [T, WIDTH]
// one group a row; a lane copies every LANES-th quad
struct Params {
    uint first;
    uint count;
};

constant constexpr uint QUADS = WIDTH / 4;

kernel void embed(
    device const uint* step [[buffer(0)]],
    device const Quad_table* table [[buffer(1)]],
    device Quad_x* x [[buffer(2)]],
    constant Params& params [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    const uint row = group.x;
    if (row >= row_count(step)) {
        return;
    }
    // An id below `first` wraps around, and so is beyond `count` too.
    const uint id = token_id(step, row) - params.first;
    if (id >= params.count) {
        return;
    }
    for (uint i = lane; i < QUADS; i += LANES) {
        x[row * QUADS + i] = pack<Quad_x>(quad_of(table, id * QUADS + i));
    }
}

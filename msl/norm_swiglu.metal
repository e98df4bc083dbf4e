// y[r, first + n] = silu(s · Σ_k h · gate[n, k]) · (s · Σ_k h · up[n, k]), h = x[r, k] · (1 + norm[k]), s = 1 / sqrt(mean(x[r]²) + eps)
// x [S, K], norm [1, K], gate, up [., K] from rows gate_row and up_row on, y [S, stride]
// one group for COLUMNS columns n and ROWS rows r; a team of TEAM lanes computes SHARE rows of weights: half gate, half up
struct Params {
    uint rows;
    uint first;
    uint count;
    uint stride;
    uint gate_row;
    uint up_row;
    float eps;
};

constant constexpr uint ROW_QUADS = COLUMNS / 4;
static_assert(COLUMNS % 4 == 0 && PAIRS * LANES == COLUMNS * TEAM && SHARE == 2 * PAIRS, "columns for teams");
static_assert(VALUES == SQUARES + ROWS / SHARERS, "sums of products and of squares");

// Rows and columns from the team's first on. Past the last one, that one repeats and is not stored. Column j of gate is
// weight j, and of up weight PAIRS + j.
struct Operands {
    device const Quad_x* x;
    device const Quad_norm* norm;
    device const Quad_gate* gate;
    device const Quad_up* up;
    uint row;
    uint last_row;
    uint gate_row;
    uint up_row;
    uint column;
    uint last_column;

    float4 input(uint r, uint at) const {
        return unpack(x[min(row + r, last_row) * QUADS + at]);
    }

    float4 gain(uint at) const {
        return 1.0f + unpack(norm[at]);
    }

    float4 weight(uint j, uint at) const {
        const uint n = min(column + j % PAIRS, last_column);
        return j < PAIRS ? quad_of(gate, (gate_row + n) * QUADS + at) : quad_of(up, (up_row + n) * QUADS + at);
    }
};

kernel void norm_swiglu(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device const Quad_norm* norm [[buffer(2)]],
    device const Quad_gate* gate [[buffer(3)]],
    device const Quad_up* up [[buffer(4)]],
    device Quad_y* y [[buffer(5)]],
    constant Params& params [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[SUMS_PARTS];
    threadgroup float squares[ROWS];
    threadgroup float results[ROWS * COLUMNS];
    const uint row = group.y * ROWS;
    const uint place = lane / TEAM * PAIRS;
    const uint active_rows = row_count(step);
    const Operands operands = Operands{
        x, norm, gate, up, row, params.rows - 1, params.gate_row, params.up_row, group.x * COLUMNS + place, params.count - 1};
    float values[VALUES];
    dots(operands, lane, values);
    team_sums(values, lane, parts);
    float scale[ROWS];
    scales(values, lane, params.eps, squares, scale);
    #pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        #pragma unroll
        for (uint j = 0; j < PAIRS; j++) {
            if ((r * PAIRS + j) % TEAM == lane % TEAM) {
                const float up_sum = scale[r] * values[r * SHARE + PAIRS + j];
                results[r * COLUMNS + place + j] = silu(scale[r] * values[r * SHARE + j]) * up_sum;
            }
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    // Neighboring lanes store neighboring quads.
    for (uint i = lane; i < ROWS * ROW_QUADS; i += LANES) {
        const uint r = i / ROW_QUADS;
        const uint n = group.x * COLUMNS + i % ROW_QUADS * 4;
        if (row + r < active_rows && n < params.count) {
            threadgroup const float* quad = results + 4 * i;
            const uint to = ((row + r) * params.stride + params.first + n) / 4;
            y[to] = pack<Quad_y>(float4(quad[0], quad[1], quad[2], quad[3]));
        }
    }
}

// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for few rows
// x [S, K], w [count, K], y [S, stride]
// one group for COLUMNS columns n and ROWS rows r; a team of TEAM lanes computes SHARE columns
struct Params {
    uint rows;
    uint first;
    uint count;
    uint stride;
};

static_assert(SHARE * LANES == COLUMNS * TEAM && VALUES == ROWS * SHARE, "columns for teams");

// Rows and columns from the team's first on. Past the last one, that one repeats and is not stored.
struct Operands {
    device const Quad_x* x;
    device const Quad_w* w;
    uint row;
    uint last_row;
    uint column;
    uint last_column;

    float4 input(uint r, uint at) const {
        return unpack(x[min(row + r, last_row) * QUADS + at]);
    }

    float4 weight(uint j, uint at) const {
        return quad_of(w, min(column + j, last_column) * QUADS + at);
    }

    // This kernel has no norm.
    float4 gain(uint) const {
        return float4(1.0f);
    }
};

kernel void matvec(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device const Quad_w* w [[buffer(2)]],
    device float* y [[buffer(3)]],
    constant Params& params [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[SUMS_PARTS];
    const uint row = group.y * ROWS;
    const uint column = group.x * COLUMNS + lane / TEAM * SHARE;
    const uint active_rows = row_count(step);
    // Prefill may need no logits. In a decode step every workgroup has a row, so it need not wait for the row count.
    if (ROW_COUNT == STEP_OUTPUT_COUNT && row >= active_rows) {
        return;
    }
    float values[VALUES];
    dots(Operands{x, w, row, params.rows - 1, column, params.count - 1}, lane, values);
    team_sums(values, lane, parts);
    #pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        #pragma unroll
        for (uint j = 0; j < SHARE; j++) {
            const bool mine = (r * SHARE + j) % TEAM == lane % TEAM;
            if (mine && row + r < active_rows && column + j < params.count) {
                device float* to = y + (row + r) * params.stride + params.first + column + j;
                *to = ADD == 1 ? *to + values[r * SHARE + j] : values[r * SHARE + j];
            }
        }
    }
}

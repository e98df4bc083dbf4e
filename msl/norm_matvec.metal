// y[r, first + n] = s · Σ_k x[r, k] · (1 + norm[k]) · w[n, k], s = 1 / sqrt(mean(x[r]²) + eps), for few rows
// x [S, K], norm [1, K], w [count, K], y [S, stride]
// one group for COLUMNS columns n and ROWS rows r; a team of TEAM lanes computes SHARE columns, and the squares with them
struct Params {
    uint rows;
    uint first;
    uint count;
    uint stride;
    float eps;
};

static_assert(SHARE * LANES == COLUMNS * TEAM && VALUES == SQUARES + ROWS / SHARERS, "columns for teams");

// Rows and columns from the team's first on: what is past the last repeats it and is not stored.
struct Operands {
    device const Quad_x* x;
    device const Quad_norm* norm;
    device const Quad_w* w;
    uint row;
    uint last_row;
    uint column;
    uint last_column;

    float4 input(uint r, uint at) const {
        return unpack(x[min(row + r, last_row) * QUADS + at]);
    }

    float4 gain(uint at) const {
        return 1.0f + unpack(norm[at]);
    }

    float4 weight(uint j, uint at) const {
        return quad_of(w, min(column + j, last_column) * QUADS + at);
    }
};

kernel void norm_matvec(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device const Quad_norm* norm [[buffer(2)]],
    device const Quad_w* w [[buffer(3)]],
    device float* y [[buffer(4)]],
    constant Params& params [[buffer(5)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[SUMS_PARTS];
    threadgroup float squares[ROWS];
    const uint row = group.y * ROWS;
    const uint column = group.x * COLUMNS + lane / TEAM * SHARE;
    const uint alive = live(step);
    float values[VALUES];
    dots(Operands{x, norm, w, row, params.rows - 1, column, params.count - 1}, lane, values);
    team_sums(values, lane, parts);
    float scale[ROWS];
    scales(values, lane, params.eps, squares, scale);
    #pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        #pragma unroll
        for (uint j = 0; j < SHARE; j++) {
            const bool mine = (r * SHARE + j) % TEAM == lane % TEAM;
            if (mine && row + r < alive && column + j < params.count) {
                y[(row + r) * params.stride + params.first + column + j] = values[r * SHARE + j] * scale[r];
            }
        }
    }
}

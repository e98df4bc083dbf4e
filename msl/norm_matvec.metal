// y[r, first + n] = s · Σ_k x[r, k] · (1 + norm[k]) · w[n, k], s = 1 / sqrt(mean(x[r]²) + eps), for few rows
// x [S, K], norm [1, K], w [count, K], y [S, stride]; where HAS_TAIL is 1, the columns of tail [tail_count, K] follow those of w
// one group for COLUMNS columns n of one matrix and ROWS rows r; a team of TEAM lanes computes SHARE columns, and the squares
struct Params {
    uint rows;
    uint first;
    uint count;
    uint tail_count;
    uint stride;
    float eps;
};

static_assert(SHARE * LANES == COLUMNS * TEAM && VALUES == SQUARES + ROWS / SHARERS, "columns for teams");

// Rows and columns from the team's first on. Past the last one, that one repeats and is not stored.
template <typename Quad_matrix> struct Operands {
    device const Quad_x* x;
    device const Quad_norm* norm;
    device const Quad_matrix* w;
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
    device const Quad_tail* tail [[buffer(4)]],
    device float* y [[buffer(5)]],
    constant Params& params [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[SUMS_PARTS];
    threadgroup float squares[ROWS];
    const uint row = group.y * ROWS;
    // The workgroups of the second matrix follow those of the first.
    const uint groups = (params.count + COLUMNS - 1) / COLUMNS;
    const bool in_tail = HAS_TAIL == 1 && group.x >= groups;
    const uint column = (in_tail ? group.x - groups : group.x) * COLUMNS + lane / TEAM * SHARE;
    const uint columns = in_tail ? params.tail_count : params.count;
    const uint first = in_tail ? params.first + params.count : params.first;
    const uint active_rows = row_count(step);
    float values[VALUES];
    if (in_tail) {
        dots(Operands<Quad_tail>{x, norm, tail, row, params.rows - 1, column, columns - 1}, lane, values);
    } else {
        dots(Operands<Quad_w>{x, norm, w, row, params.rows - 1, column, columns - 1}, lane, values);
    }
    team_sums(values, lane, parts);
    float scale[ROWS];
    scales(values, lane, params.eps, squares, scale);
    #pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        #pragma unroll
        for (uint j = 0; j < SHARE; j++) {
            const bool mine = (r * SHARE + j) % TEAM == lane % TEAM;
            if (mine && row + r < active_rows && column + j < columns) {
                y[(row + r) * params.stride + first + column + j] = values[r * SHARE + j] * scale[r];
            }
        }
    }
}

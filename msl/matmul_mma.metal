// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for many rows, on matrix units; a sum runs through k in order, FRAGMENT at a time
// x [T, K], f16, w [count, K], f16 or what becomes it, y [T, stride]
// one group for TILE_ROWS × TILE_COLUMNS of y, ROWS × COLUMNS fragments of it to each of its ROW_SUBGROUPS × COLUMN_SUBGROUPS SIMD groups
struct Params {
    uint first;
    uint count;
    uint stride;
};

constant constexpr uint QUADS = K / 4;
constant constexpr uint SLICE_QUADS = STEPS * FRAGMENT / 4;
constant constexpr uint SLICES = (QUADS + SLICE_QUADS - 1) / SLICE_QUADS;
// Two quads more than a slice, which puts neighboring rows into different banks.
constant constexpr uint PITCH = SLICE_QUADS + 2;
// Row distance between two quads that a lane fetches.
constant constexpr uint STRIDE = LANES / SLICE_QUADS;
constant constexpr uint W_QUADS = W_FETCHES * W_WIDE;
static_assert(ROW_SUBGROUPS * ROWS * FRAGMENT == TILE_ROWS && COLUMN_SUBGROUPS * COLUMNS * FRAGMENT == TILE_COLUMNS, "fragments fill a tile");
static_assert(X_FETCHES * STRIDE == TILE_ROWS && W_QUADS * STRIDE == TILE_COLUMNS, "lanes fetch a whole slice");
static_assert(LANES == ROW_SUBGROUPS * COLUMN_SUBGROUPS * SIMD, "a subgroup is a SIMD group");

// A lane's quads of a slice of x, from `row` on. Past the last row, that row repeats. Past K there are zeros.
inline void fetch_inputs(thread half4* next, device const Quad_x* x, uint2 row_last, uint quad) {
    #pragma unroll
    for (uint i = 0; i < X_FETCHES; i++) {
        const uint row = min(row_last.x + i * STRIDE, row_last.y);
        next[i] = quad < QUADS ? x[row * QUADS + quad] : half4(0.0f);
    }
}

// The same for w. Matrix units multiply f16: weights of other formats are decoded here and nowhere else.
inline void fetch_weights(thread half4* next, device const Quad_w* w, uint2 row_last, uint quad) {
    #pragma unroll
    for (uint i = 0; i < W_QUADS; i++) {
        const uint row = min(row_last.x + i * STRIDE, row_last.y);
        next[i] = quad < QUADS ? half4(quad_of(w, row * QUADS + quad)) : half4(0.0f);
    }
}

// Adds the products of a staged slice to a subgroup's fragments.
inline void multiply(thread Sum* sums, threadgroup const half4* x_rows, threadgroup const half4* w_rows) {
    #pragma unroll
    for (uint k = 0; k < STEPS; k++) {
        Operand left[ROWS], right[COLUMNS];
        #pragma unroll
        for (uint i = 0; i < ROWS; i++) {
            simdgroup_load(left[i], (threadgroup const half*)(x_rows + i * FRAGMENT * PITCH) + k * FRAGMENT, 4 * PITCH);
        }
        #pragma unroll
        for (uint j = 0; j < COLUMNS; j++) {
            simdgroup_load(right[j], (threadgroup const half*)(w_rows + j * FRAGMENT * PITCH) + k * FRAGMENT, 4 * PITCH, ulong2(0, 0), true);
        }
        #pragma unroll
        for (uint i = 0; i < ROWS; i++) {
            #pragma unroll
            for (uint j = 0; j < COLUMNS; j++) {
                simdgroup_multiply_accumulate(sums[i * COLUMNS + j], left[i], right[j], sums[i * COLUMNS + j]);
            }
        }
    }
}

kernel void matmul_mma(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device const Quad_w* w [[buffer(2)]],
    device float* y [[buffer(3)]],
    constant Params& params [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]],
    uint subgroup [[simdgroup_index_in_threadgroup]],
    uint member [[thread_index_in_simdgroup]])
{
    // Two slices of each operand: one is multiplied while the next is staged, with one barrier per slice.
    threadgroup half4 x_slices[2 * TILE_ROWS * PITCH];
    threadgroup half4 w_slices[2 * TILE_COLUMNS * PITCH];
    // One fragment of each subgroup whose rows or columns may not all exist.
    threadgroup float fragments[ROW_SUBGROUPS * COLUMN_SUBGROUPS * FRAGMENT * FRAGMENT];
    const uint first_row = group.y * TILE_ROWS;
    const uint first_column = group.x * TILE_COLUMNS;
    const uint active_rows = row_count(step);
    if (first_row >= active_rows) {
        return;
    }
    const uint subgroup_row = subgroup / COLUMN_SUBGROUPS * ROWS * FRAGMENT;
    const uint subgroup_column = subgroup % COLUMN_SUBGROUPS * COLUMNS * FRAGMENT;
    const uint own_row = lane / SLICE_QUADS;
    const uint own_quad = lane % SLICE_QUADS;
    const uint2 x_row = uint2(first_row + own_row, active_rows - 1);
    const uint2 w_row = uint2(first_column + own_row, params.count - 1);
    half4 x_next[X_FETCHES], w_next[W_QUADS];
    fetch_inputs(x_next, x, x_row, own_quad);
    fetch_weights(w_next, w, w_row, own_quad);
    Sum sums[ROWS * COLUMNS];
    #pragma unroll
    for (uint i = 0; i < ROWS * COLUMNS; i++) {
        sums[i] = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
    }
    for (uint slice = 0; slice < SLICES; slice++) {
        threadgroup half4* x_slice = x_slices + slice % 2 * TILE_ROWS * PITCH;
        threadgroup half4* w_slice = w_slices + slice % 2 * TILE_COLUMNS * PITCH;
        #pragma unroll
        for (uint i = 0; i < X_FETCHES; i++) {
            x_slice[(own_row + i * STRIDE) * PITCH + own_quad] = x_next[i];
        }
        #pragma unroll
        for (uint i = 0; i < W_QUADS; i++) {
            w_slice[(own_row + i * STRIDE) * PITCH + own_quad] = w_next[i];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (slice + 1 < SLICES) {
            fetch_inputs(x_next, x, x_row, (slice + 1) * SLICE_QUADS + own_quad);
            fetch_weights(w_next, w, w_row, (slice + 1) * SLICE_QUADS + own_quad);
        }
        multiply(sums, x_slice + subgroup_row * PITCH, w_slice + subgroup_column * PITCH);
    }
    // Whether every row and column of the workgroup's tile exists. This is uniform.
    const bool whole = first_row + TILE_ROWS <= active_rows && first_column + TILE_COLUMNS <= params.count;
    threadgroup float* fragment = fragments + subgroup * FRAGMENT * FRAGMENT;
    #pragma unroll
    for (uint i = 0; i < ROWS * COLUMNS; i++) {
        const uint row = first_row + subgroup_row + i / COLUMNS * FRAGMENT;
        const uint column = first_column + subgroup_column + i % COLUMNS * FRAGMENT;
        device float* to = y + row * params.stride + params.first + column;
        if (whole && ADD == 0) {
            simdgroup_store(sums[i], to, params.stride);
            continue;
        }
        simdgroup_store(sums[i], fragment, FRAGMENT);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint e = member; e < FRAGMENT * FRAGMENT; e += SIMD) {
            if (row + e / FRAGMENT < active_rows && column + e % FRAGMENT < params.count) {
                device float* element = to + e / FRAGMENT * params.stride + e % FRAGMENT;
                *element = (ADD == 1 ? *element : 0.0f) + fragment[e];
            }
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
}

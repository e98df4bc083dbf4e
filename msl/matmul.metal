// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for many rows; a sum runs through k in order
// x [T, K], w [count, K], y [T, stride]
// one group for TILE_ROWS × TILE_COLUMNS of y, 4 × 4 to a lane; both operands pass by in slices of k through threadgroup memory
struct Params {
    uint first;
    uint count;
    uint stride;
};

constant constexpr uint QUADS = K / 4;
constant constexpr uint SLICE = 32;
constant constexpr uint SLICE_QUADS = SLICE / 4;
constant constexpr uint SLICES = (K + SLICE - 1) / SLICE;
// A slice of both tiles is staged in blocks of 4 × 4 elements, transposed on the way.
constant constexpr uint ROW_BLOCKS = TILE_ROWS / 4;
constant constexpr uint COLUMN_BLOCKS = TILE_COLUMNS / 4;
constant constexpr uint BLOCKS = (ROW_BLOCKS + COLUMN_BLOCKS) * SLICE_QUADS;
constant constexpr uint SHARE = (BLOCKS + LANES - 1) / LANES;
// Neighboring lanes store blocks of the same rows and neighboring k: swapping rows by k spreads them over the banks.
constant constexpr uint ROW_SWAP = ROW_BLOCKS % 8 == 0 ? 7 : 0;
constant constexpr uint COLUMN_SWAP = COLUMN_BLOCKS % 8 == 0 ? 7 : 0;
static_assert(LANES == ROW_BLOCKS * COLUMN_BLOCKS, "4 × 4 of y to a lane");

// Four quads of an operand, from `row` on. Past the last row, that row repeats. Past K there are zeros.
template <typename Q> inline void fetch(thread float4* block, device const Q* operand, uint row, uint last, uint quad) {
    #pragma unroll
    for (uint j = 0; j < 4; j++) {
        block[j] = quad < QUADS ? quad_of(operand, min(row + j, last) * QUADS + quad) : float4(0.0f);
    }
}

// Stores four quads in threadgroup memory, element k of all four at [k · pitch].
inline void stage(threadgroup float4* at, uint pitch, thread const float4* block) {
    #pragma unroll
    for (uint k = 0; k < 4; k++) {
        at[k * pitch] = float4(block[0][k], block[1][k], block[2][k], block[3][k]);
    }
}

kernel void matmul(
    device const uint* step [[buffer(0)]],
    device const Quad_x* x [[buffer(1)]],
    device const Quad_w* w [[buffer(2)]],
    device float* y [[buffer(3)]],
    constant Params& params [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    // Element k of 4 rows at [k][row / 4], and of 4 columns at [k][column / 4].
    threadgroup float4 x_slice[SLICE * ROW_BLOCKS];
    threadgroup float4 w_slice[SLICE * COLUMN_BLOCKS];
    const uint first_row = group.y * TILE_ROWS;
    const uint first_column = group.x * TILE_COLUMNS;
    const uint active_rows = row_count(step);
    if (first_row >= active_rows) {
        return;
    }
    const uint row_block = lane / COLUMN_BLOCKS;
    const uint column_block = lane % COLUMN_BLOCKS;
    float4 sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    // This lane's blocks of the next slice.
    float4 blocks[SHARE][4];
    for (uint slice = 0; slice <= SLICES; slice++) {
        #pragma unroll
        for (uint i = 0; i < SHARE; i++) {
            const uint block = lane + i * LANES;
            const uint quad = block % SLICE_QUADS;
            const uint strip = block / SLICE_QUADS;
            if (slice > 0 && strip < ROW_BLOCKS) {
                stage(x_slice + 4 * quad * ROW_BLOCKS + (strip ^ (quad & ROW_SWAP)), ROW_BLOCKS, blocks[i]);
            } else if (slice > 0 && block < BLOCKS) {
                const uint column = (strip - ROW_BLOCKS) ^ (quad & COLUMN_SWAP);
                stage(w_slice + 4 * quad * COLUMN_BLOCKS + column, COLUMN_BLOCKS, blocks[i]);
            }
            // The next slice loads while this one is multiplied.
            if (strip < ROW_BLOCKS) {
                fetch(blocks[i], x, first_row + 4 * strip, active_rows - 1, slice * SLICE_QUADS + quad);
            } else if (block < BLOCKS) {
                fetch(blocks[i], w, first_column + 4 * (strip - ROW_BLOCKS), params.count - 1, slice * SLICE_QUADS + quad);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint k = 0; slice > 0 && k < SLICE; k++) {
            const float4 rows = x_slice[k * ROW_BLOCKS + (row_block ^ (k / 4 & ROW_SWAP))];
            const float4 columns = w_slice[k * COLUMN_BLOCKS + (column_block ^ (k / 4 & COLUMN_SWAP))];
            #pragma unroll
            for (uint r = 0; r < 4; r++) {
                sums[r] = fma(float4(rows[r]), columns, sums[r]);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    #pragma unroll
    for (uint r = 0; r < 4; r++) {
        const uint row = first_row + 4 * row_block + r;
        #pragma unroll
        for (uint c = 0; c < 4; c++) {
            const uint n = first_column + 4 * column_block + c;
            if (row < active_rows && n < params.count) {
                device float* to = y + row * params.stride + params.first + n;
                *to = (ADD == 1 ? *to : 0.0f) + sums[r][c];
            }
        }
    }
}

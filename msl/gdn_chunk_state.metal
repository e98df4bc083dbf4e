// chunk after chunk: n = u + reads[..CHUNK]·S; o = reads[CHUNK..]·S + writes[Dk..]·n; S ← keep·S + writes[..Dk]·n
// of each chunk and value head reads [2·CHUNK, Dk], writes [Dk + CHUNK, CHUNK] f16, u [CHUNK, Dv], keep [1] f32; state [slots, Hv·Dk·Dv], o [T, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; a SIMD group keeps every TEAMS-th EDGE rows in registers
constant constexpr uint SQUARES = COLUMNS / EDGE;
constant constexpr uint QUADS = COLUMNS / 4;
// Rows have a pitch that puts neighbouring ones into different banks.
constant constexpr uint PITCH = COLUMNS + 4;
static_assert(TEAMS * EDGE == CHUNK && LANES == TEAMS * SIMD, "a square's rows of a chunk to each SIMD group");
static_assert(KEY_SQUARES * EDGE == KEY_WIDTH && STATE_SQUARES * CHUNK == KEY_WIDTH, "and as many of the state");

// sums += left · right for a row of squares of `left` and a row of squares of columns; the halves of `left` come straight
// from where they are kept, since no other SIMD group of the group needs them.
template <uint COUNT> inline void multiply(thread Sum* sums, device const half* left, uint pitch, threadgroup const float* right) {
    #pragma unroll
    for (uint k = 0; k < COUNT; k++) {
        Operand factor;
        simdgroup_load(factor, left + k * EDGE, pitch);
        #pragma unroll
        for (uint j = 0; j < SQUARES; j++) {
            Sum square;
            simdgroup_load(square, right + k * EDGE * PITCH + j * EDGE, PITCH);
            simdgroup_multiply_accumulate(sums[j], factor, square, sums[j]);
        }
    }
}

kernel void gdn_chunk_state(
    device const uint* step [[buffer(0)]],
    device const Quad_reads* reads [[buffer(1)]],
    device const Quad_writes* writes [[buffer(2)]],
    device const float* u [[buffer(3)]],
    device const float* keep [[buffer(4)]],
    device float* state [[buffer(5)]],
    device float* o [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint team [[simdgroup_index_in_threadgroup]],
    uint member [[thread_index_in_simdgroup]])
{
    // The state, for all SIMD groups to read, and n.
    threadgroup float4 kept_quads[KEY_WIDTH * PITCH / 4];
    threadgroup float news[CHUNK * PITCH];
    if (group.z >= sequences(step)) {
        return;
    }
    const Span rows = span(step, group.z);
    if (rows.rows == 0) {
        return;
    }
    threadgroup float* kept = (threadgroup float*)kept_quads;
    const uint head = group.x;
    const uint own_row = team * EDGE;
    const uint column = group.y * COLUMNS;
    device float* own_state = state + ((rows.slot * VALUE_HEADS + head) * KEY_WIDTH + own_row) * VALUE_WIDTH + column;
    Sum squares[STATE_SQUARES][SQUARES];
    #pragma unroll
    for (uint i = 0; i < STATE_SQUARES; i++) {
        #pragma unroll
        for (uint j = 0; j < SQUARES; j++) {
            squares[i][j] = make_filled_simdgroup_matrix<float, EDGE, EDGE>(0.0f);
            if (rows.position > 0) {
                simdgroup_load(squares[i][j], own_state + i * CHUNK * VALUE_WIDTH + j * EDGE, VALUE_WIDTH);
            }
        }
    }
    const uint first = chunks_before(step, group.z);
    for (uint index = 0; index < chunks_of(rows); index++) {
        const uint at = (first + index) * VALUE_HEADS + head;
        #pragma unroll
        for (uint i = 0; i < STATE_SQUARES; i++) {
            #pragma unroll
            for (uint j = 0; j < SQUARES; j++) {
                simdgroup_store(squares[i][j], kept + (own_row + i * CHUNK) * PITCH + j * EDGE, PITCH);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        device const half* own_reads = (device const half*)reads + (at * 2 * CHUNK + own_row) * KEY_WIDTH;
        device const half* own_writes = (device const half*)writes + (at * (KEY_WIDTH + CHUNK) + own_row) * CHUNK;
        Sum n[SQUARES], read[SQUARES];
        #pragma unroll
        for (uint j = 0; j < SQUARES; j++) {
            simdgroup_load(n[j], u + (at * CHUNK + own_row) * VALUE_WIDTH + column + j * EDGE, VALUE_WIDTH);
            read[j] = make_filled_simdgroup_matrix<float, EDGE, EDGE>(0.0f);
        }
        multiply<KEY_SQUARES>(n, own_reads, KEY_WIDTH, kept);
        multiply<KEY_SQUARES>(read, own_reads + CHUNK * KEY_WIDTH, KEY_WIDTH, kept);
        #pragma unroll
        for (uint j = 0; j < SQUARES; j++) {
            simdgroup_store(n[j], news + own_row * PITCH + j * EDGE, PITCH);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        multiply<TEAMS>(read, own_writes + KEY_WIDTH * CHUNK, CHUNK, news);
        const Sum factor = make_diagonal_simdgroup_matrix<float, EDGE, EDGE>(keep[at]);
        #pragma unroll
        for (uint i = 0; i < STATE_SQUARES; i++) {
            #pragma unroll
            for (uint j = 0; j < SQUARES; j++) {
                simdgroup_multiply(squares[i][j], factor, squares[i][j]);
            }
            multiply<TEAMS>(squares[i], own_writes + i * CHUNK * CHUNK, CHUNK, news);
        }
        // What was read goes out through the SIMD group's own rows of `kept`, which all have read.
        #pragma unroll
        for (uint j = 0; j < SQUARES; j++) {
            simdgroup_store(read[j], kept + own_row * PITCH + j * EDGE, PITCH);
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        const Chunk part = chunk_of(rows, index);
        for (uint i = member; i < EDGE * QUADS; i += SIMD) {
            const uint row = own_row + i / QUADS;
            if (row < part.rows) {
                device float4* to = (device float4*)(o + ((part.row + row) * VALUE_HEADS + head) * VALUE_WIDTH + column);
                to[i % QUADS] = kept_quads[row * (PITCH / 4) + i % QUADS];
            }
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
    #pragma unroll
    for (uint i = 0; i < STATE_SQUARES; i++) {
        #pragma unroll
        for (uint j = 0; j < SQUARES; j++) {
            simdgroup_store(squares[i][j], own_state + i * CHUNK * VALUE_WIDTH + j * EDGE, VALUE_WIDTH);
        }
    }
}

// chunk after chunk: n = u + state_reads[..CHUNK]·S; o = state_reads[CHUNK..]·S + state_writes[Dk..]·n; S ← chunk_decay·S + state_writes[..Dk]·n
// of each chunk and value head state_reads [2·CHUNK, Dk], state_writes [Dk + CHUNK, CHUNK] f16, u [CHUNK, Dv], chunk_decay [1] f32; state [slots, Hv·Dk·Dv], o [T, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; a SIMD group keeps every SUBGROUPS-th FRAGMENT rows in registers
constant constexpr uint FRAGMENTS = COLUMNS / FRAGMENT;
constant constexpr uint QUADS = COLUMNS / 4;
// The pitch of rows puts neighboring rows into different banks.
constant constexpr uint PITCH = COLUMNS + 4;
static_assert(SUBGROUPS * FRAGMENT == CHUNK && LANES == SUBGROUPS * SIMD, "a fragment's rows of a chunk to each SIMD group");
static_assert(KEY_FRAGMENTS * FRAGMENT == KEY_WIDTH && STATE_FRAGMENTS * CHUNK == KEY_WIDTH, "and as many of the state");

// sums += left · right for a row of fragments of `left` and a row of fragments of columns; the f16 of `left` come
// directly from device memory, since no other SIMD group of the threadgroup needs them.
template <uint COUNT> inline void multiply(thread Sum* sums, device const half* left, uint pitch, threadgroup const float* right) {
    #pragma unroll
    for (uint k = 0; k < COUNT; k++) {
        Operand factor;
        simdgroup_load(factor, left + k * FRAGMENT, pitch);
        #pragma unroll
        for (uint j = 0; j < FRAGMENTS; j++) {
            Sum fragment;
            simdgroup_load(fragment, right + k * FRAGMENT * PITCH + j * FRAGMENT, PITCH);
            simdgroup_multiply_accumulate(sums[j], factor, fragment, sums[j]);
        }
    }
}

kernel void gdn_chunk_state(
    device const uint* step [[buffer(0)]],
    device const Quad_state_reads* state_reads [[buffer(1)]],
    device const Quad_state_writes* state_writes [[buffer(2)]],
    device const float* u [[buffer(3)]],
    device const float* chunk_decay [[buffer(4)]],
    device float* state [[buffer(5)]],
    device float* o [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint subgroup [[simdgroup_index_in_threadgroup]],
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
    const uint own_row = subgroup * FRAGMENT;
    const uint column = group.y * COLUMNS;
    device float* own_state = state + ((rows.slot * VALUE_HEADS + head) * KEY_WIDTH + own_row) * VALUE_WIDTH + column;
    Sum fragments[STATE_FRAGMENTS][FRAGMENTS];
    #pragma unroll
    for (uint i = 0; i < STATE_FRAGMENTS; i++) {
        #pragma unroll
        for (uint j = 0; j < FRAGMENTS; j++) {
            fragments[i][j] = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
            if (rows.position > 0) {
                simdgroup_load(fragments[i][j], own_state + i * CHUNK * VALUE_WIDTH + j * FRAGMENT, VALUE_WIDTH);
            }
        }
    }
    const uint first = chunks_before(step, group.z);
    for (uint index = 0; index < chunks_of(rows); index++) {
        const uint at = (first + index) * VALUE_HEADS + head;
        #pragma unroll
        for (uint i = 0; i < STATE_FRAGMENTS; i++) {
            #pragma unroll
            for (uint j = 0; j < FRAGMENTS; j++) {
                simdgroup_store(fragments[i][j], kept + (own_row + i * CHUNK) * PITCH + j * FRAGMENT, PITCH);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        device const half* own_state_reads = (device const half*)state_reads + (at * 2 * CHUNK + own_row) * KEY_WIDTH;
        device const half* own_state_writes = (device const half*)state_writes + (at * (KEY_WIDTH + CHUNK) + own_row) * CHUNK;
        Sum n[FRAGMENTS], read[FRAGMENTS];
        #pragma unroll
        for (uint j = 0; j < FRAGMENTS; j++) {
            simdgroup_load(n[j], u + (at * CHUNK + own_row) * VALUE_WIDTH + column + j * FRAGMENT, VALUE_WIDTH);
            read[j] = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
        }
        multiply<KEY_FRAGMENTS>(n, own_state_reads, KEY_WIDTH, kept);
        multiply<KEY_FRAGMENTS>(read, own_state_reads + CHUNK * KEY_WIDTH, KEY_WIDTH, kept);
        #pragma unroll
        for (uint j = 0; j < FRAGMENTS; j++) {
            simdgroup_store(n[j], news + own_row * PITCH + j * FRAGMENT, PITCH);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        multiply<SUBGROUPS>(read, own_state_writes + KEY_WIDTH * CHUNK, CHUNK, news);
        const Sum factor = make_diagonal_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(chunk_decay[at]);
        #pragma unroll
        for (uint i = 0; i < STATE_FRAGMENTS; i++) {
            #pragma unroll
            for (uint j = 0; j < FRAGMENTS; j++) {
                simdgroup_multiply(fragments[i][j], factor, fragments[i][j]);
            }
            multiply<SUBGROUPS>(fragments[i], own_state_writes + i * CHUNK * CHUNK, CHUNK, news);
        }
        // The outputs pass through the SIMD group's own rows of `kept`, which all SIMD groups have read.
        #pragma unroll
        for (uint j = 0; j < FRAGMENTS; j++) {
            simdgroup_store(read[j], kept + own_row * PITCH + j * FRAGMENT, PITCH);
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        const Chunk chunk = chunk_of(rows, index);
        for (uint i = member; i < FRAGMENT * QUADS; i += SIMD) {
            const uint row = own_row + i / QUADS;
            if (row < chunk.rows) {
                device float4* to = (device float4*)(o + ((chunk.row + row) * VALUE_HEADS + head) * VALUE_WIDTH + column);
                to[i % QUADS] = kept_quads[row * (PITCH / 4) + i % QUADS];
            }
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
    #pragma unroll
    for (uint i = 0; i < STATE_FRAGMENTS; i++) {
        #pragma unroll
        for (uint j = 0; j < FRAGMENTS; j++) {
            simdgroup_store(fragments[i][j], own_state + i * CHUNK * VALUE_WIDTH + j * FRAGMENT, VALUE_WIDTH);
        }
    }
}

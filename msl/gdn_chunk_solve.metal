// reads = [−A⁻¹diag(β·eᶜ)K; diag(eᶜ)Q], writes = [(diag(e^(last − c))K)ᵀ; QKᵀ⊙D], u = A⁻¹diag(β)V, keep = e^last, A = I + tril(diag(β)KKᵀ⊙D, −1)
// qkv [T, C], gates [T, 2·Hv]; of each chunk and value head reads [2·CHUNK, Dk], writes [Dk + CHUNK, CHUNK] f16, u [CHUNK, Dv], keep [1] f32
// one group a value head and chunk; each of its TEAMS SIMD groups has EDGE rows of every product; D[t, s] = e^(c[t] − c[s]), s ≤ t
constant constexpr uint KEY_QUADS = KEY_WIDTH / 4;
constant constexpr uint VALUE_QUADS = VALUE_WIDTH / 4;
constant constexpr uint ROW_QUADS = 2 * KEY_HEADS * KEY_QUADS + VALUE_HEADS * VALUE_QUADS;
constant constexpr uint SLICE_QUADS = SLICE_SQUARES * EDGE / 4;
// Staged rows have a pitch that puts neighbouring ones into different banks.
constant constexpr uint PITCH = SLICE_QUADS + 2;
// Rows from one of the quads that a lane fetches to the next.
constant constexpr uint STRIDE = LANES / SLICE_QUADS;
// A logarithm whose exponential is zero. Less of one would cost the sums digits that slighter decays need.
constant constexpr float NOTHING = -104.0f;
static_assert(TEAMS * EDGE == CHUNK && LANES == TEAMS * SIMD && LANES >= CHUNK, "a square's rows to each SIMD group");
static_assert(FETCHES * STRIDE == CHUNK && KEY_QUADS % SLICE_QUADS == 0 && VALUE_QUADS % SLICE_QUADS == 0, "whole slices");

// A lane's quads of a slice of the chunk's rows; zero past its last one.
inline void fetch(thread float4* next, device const float4* qkv, Chunk part, uint quad, uint lane) {
    #pragma unroll
    for (uint i = 0; i < FETCHES; i++) {
        const uint row = lane / SLICE_QUADS + i * STRIDE;
        const float4 source = qkv[(part.row + min(row, max(part.rows, 1u) - 1)) * ROW_QUADS + quad + lane % SLICE_QUADS];
        next[i] = row < part.rows ? source : float4(0.0f);
    }
}

// e^(c[t] − c[s]) for the s of a quad that are before `end`; differences are taken of logarithms, and masked before.
inline float4 decay_of(threadgroup const float* decays, uint row, uint quad, uint end) {
    const bool4 seen = 4 * quad + uint4(0, 1, 2, 3) < uint4(end);
    const float4 others = ((threadgroup const float4*)decays)[quad];
    return select(float4(0.0f), exp(select(float4(0.0f), decays[row] - others, seen)), seen);
}

// A SIMD group's squares of a row of squares, into its rows of `triangle`.
inline void save(threadgroup float4* own, thread const Sum* squares, uint count) {
    #pragma unroll
    for (uint j = 0; j < count; j++) {
        simdgroup_store(squares[j], (threadgroup float*)own + j * EDGE, 4 * TRIANGLE_PITCH);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

kernel void gdn_chunk_solve(
    device const uint* step [[buffer(0)]],
    device const float4* qkv [[buffer(1)]],
    device const float* gates [[buffer(2)]],
    device Quad_reads* reads [[buffer(3)]],
    device Quad_writes* writes [[buffer(4)]],
    device float* u [[buffer(5)]],
    device float* keep [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]],
    uint team [[simdgroup_index_in_threadgroup]],
    uint member [[thread_index_in_simdgroup]])
{
    // Keys and queries, later two slices of keys and values in turn.
    threadgroup half4 staged[2 * CHUNK * PITCH];
    threadgroup float4 triangle[CHUNK * TRIANGLE_PITCH];
    // Logarithms of decays, summed up to each token, and rates; past the last token zero: nothing follows from it.
    threadgroup float4 decay_quads[CHUNK_QUADS];
    threadgroup float rates[CHUNK];
    // As many chunks as there may be: those behind the last one have no rows and are zero.
    if (group.y >= live(step) / CHUNK + 2 * sequences(step)) {
        return;
    }
    const Chunk part = chunk(step, group.y);
    const uint head = group.x;
    const uint at = group.y * VALUE_HEADS + head;
    const uint query_from = head / SHARING % KEY_HEADS * KEY_QUADS;
    const uint key_from = query_from + KEY_HEADS * KEY_QUADS;
    const uint value_from = 2 * KEY_HEADS * KEY_QUADS + head * VALUE_QUADS;
    device half4* own_reads = reads + at * 2 * CHUNK * KEY_QUADS;
    device half4* own_writes = writes + at * (KEY_WIDTH + CHUNK) * CHUNK_QUADS;
    threadgroup float* decays = (threadgroup float*)decay_quads;
    float4 keys[FETCHES], queries[FETCHES];
    fetch(keys, qkv, part, key_from, lane);
    fetch(queries, qkv, part, query_from, lane);
    if (lane < CHUNK) {
        device const float* gate = gates + (part.row + min(lane, max(part.rows, 1u) - 1)) * 2 * VALUE_HEADS + head;
        decays[lane] = lane < part.rows ? max(gate[0], NOTHING) : 0.0f;
        rates[lane] = lane < part.rows ? gate[VALUE_HEADS] : 0.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float sum = 0.0f;
    for (uint i = 0; i < CHUNK; i++) {
        sum += i <= lane ? decays[i] : 0.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane < CHUNK) {
        decays[lane] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float last = decays[CHUNK - 1];
    if (lane == 0) {
        keep[at] = exp(last);
    }
    Sum grams[TEAMS], scores[TEAMS];
    #pragma unroll
    for (uint j = 0; j < TEAMS; j++) {
        grams[j] = make_filled_simdgroup_matrix<float, EDGE, EDGE>(0.0f);
        scores[j] = grams[j];
    }
    threadgroup half4* other = staged + CHUNK * PITCH;
    for (uint slice = 0; slice < KEY_QUADS; slice += SLICE_QUADS) {
        #pragma unroll
        for (uint i = 0; i < FETCHES; i++) {
            const uint row = lane / SLICE_QUADS + i * STRIDE;
            const uint quad = lane % SLICE_QUADS;
            staged[row * PITCH + quad] = half4(keys[i]);
            other[row * PITCH + quad] = half4(queries[i]);
            own_reads[(CHUNK + row) * KEY_QUADS + slice + quad] = half4(queries[i] * exp(decays[row]));
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        // The next slice is on its way while this one is multiplied; after the last, the first of keys once more.
        const uint next = (slice + SLICE_QUADS) % KEY_QUADS;
        fetch(keys, qkv, part, key_from + next, lane);
        fetch(queries, qkv, part, query_from + next, lane);
        // Keys become columns: a lane turns a quad of tokens, its neighbours those beside it.
        for (uint i = lane; i < 4 * SLICE_QUADS * CHUNK_QUADS; i += LANES) {
            const uint key = i / CHUNK_QUADS;
            const uint quad = i % CHUNK_QUADS;
            threadgroup const half* column = (threadgroup const half*)(staged + 4 * quad * PITCH) + key;
            const float4 tokens = float4(half4(column[0], column[4 * PITCH], column[8 * PITCH], column[12 * PITCH]));
            own_writes[(4 * slice + key) * CHUNK_QUADS + quad] = half4(tokens * exp(last - decay_quads[quad]));
        }
        #pragma unroll
        for (uint k = 0; k < SLICE_SQUARES; k++) {
            Operand key, query, right;
            simdgroup_load(key, (threadgroup const half*)(staged + team * EDGE * PITCH) + k * EDGE, 4 * PITCH);
            simdgroup_load(query, (threadgroup const half*)(other + team * EDGE * PITCH) + k * EDGE, 4 * PITCH);
            #pragma unroll
            for (uint j = 0; j < TEAMS; j++) {
                threadgroup const half* rows = (threadgroup const half*)(staged + j * EDGE * PITCH);
                simdgroup_load(right, rows + k * EDGE, 4 * PITCH, ulong2(0, 0), true);
                simdgroup_multiply_accumulate(grams[j], key, right, grams[j]);
                simdgroup_multiply_accumulate(scores[j], query, right, scores[j]);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    threadgroup float4* own = triangle + team * EDGE * TRIANGLE_PITCH;
    save(own, scores, TEAMS);
    for (uint i = member; i < EDGE * CHUNK_QUADS; i += SIMD) {
        const uint row = team * EDGE + i / CHUNK_QUADS;
        const uint quad = i % CHUNK_QUADS;
        const float4 score = triangle[row * TRIANGLE_PITCH + quad] * decay_of(decays, row, quad, row + 1);
        own_writes[(KEY_WIDTH + row) * CHUNK_QUADS + quad] = half4(score);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    save(own, grams, TEAMS);
    for (uint i = member; i < EDGE * CHUNK_QUADS; i += SIMD) {
        const uint row = team * EDGE + i / CHUNK_QUADS;
        const uint quad = i % CHUNK_QUADS;
        triangle[row * TRIANGLE_PITCH + quad] *= rates[row] * decay_of(decays, row, quad, row);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    invert(triangle, lane);
    // Of A⁻¹ what is right of the diagonal's squares is zero.
    Sum inverse[TEAMS];
    #pragma unroll
    for (uint k = 0; k < TEAMS; k++) {
        simdgroup_load(inverse[k], (threadgroup const float*)own + k * EDGE, 4 * TRIANGLE_PITCH);
    }
    // Keys, then values; two slices are staged in turn.
    for (uint slice = 0; slice < KEY_QUADS + VALUE_QUADS; slice += SLICE_QUADS) {
        const bool of_keys = slice < KEY_QUADS;
        threadgroup half4* turn = staged + slice / SLICE_QUADS % 2 * CHUNK * PITCH;
        #pragma unroll
        for (uint i = 0; i < FETCHES; i++) {
            const uint row = lane / SLICE_QUADS + i * STRIDE;
            const float factor = rates[row] * (of_keys ? -exp(decays[row]) : 1.0f);
            turn[row * PITCH + lane % SLICE_QUADS] = half4(factor * keys[i]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const uint next = min(slice + SLICE_QUADS, KEY_QUADS + VALUE_QUADS - SLICE_QUADS);
        fetch(keys, qkv, part, next < KEY_QUADS ? key_from + next : value_from + next - KEY_QUADS, lane);
        Sum sums[SLICE_SQUARES];
        #pragma unroll
        for (uint j = 0; j < SLICE_SQUARES; j++) {
            sums[j] = make_filled_simdgroup_matrix<float, EDGE, EDGE>(0.0f);
        }
        #pragma unroll
        for (uint k = 0; k < TEAMS; k++) {
            if (k > team) {
                continue;
            }
            #pragma unroll
            for (uint j = 0; j < SLICE_SQUARES; j++) {
                Operand right;
                simdgroup_load(right, (threadgroup const half*)(turn + k * EDGE * PITCH) + j * EDGE, 4 * PITCH);
                simdgroup_multiply_accumulate(sums[j], inverse[k], right, sums[j]);
            }
        }
        if (!of_keys) {
            device float* to = u + (at * CHUNK + team * EDGE) * VALUE_WIDTH + 4 * (slice - KEY_QUADS);
            #pragma unroll
            for (uint j = 0; j < SLICE_SQUARES; j++) {
                simdgroup_store(sums[j], to + j * EDGE, VALUE_WIDTH);
            }
            continue;
        }
        save(own, sums, SLICE_SQUARES);
        for (uint i = member; i < EDGE * SLICE_QUADS; i += SIMD) {
            const uint row = i / SLICE_QUADS;
            const uint quad = i % SLICE_QUADS;
            own_reads[(team * EDGE + row) * KEY_QUADS + slice + quad] = half4(own[row * TRIANGLE_PITCH + quad]);
        }
    }
}

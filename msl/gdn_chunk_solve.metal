// state_reads = [−A⁻¹diag(β·eᶜ)K; diag(eᶜ)Q], state_writes = [(diag(e^(last − c))K)ᵀ; QKᵀ⊙D], u = A⁻¹diag(β)V, chunk_decay = e^last, A = I + tril(diag(β)KKᵀ⊙D, −1)
// qkv [T, C], gates [T, 2·Hv]; of each chunk and value head state_reads [2·CHUNK, Dk], state_writes [Dk + CHUNK, CHUNK] f16, u [CHUNK, Dv], chunk_decay [1] f32
// one group a value head and chunk; each of its SUBGROUPS SIMD groups has FRAGMENT rows of every product; D[t, s] = e^(c[t] − c[s]), s ≤ t
constant constexpr uint KEY_QUADS = KEY_WIDTH / 4;
constant constexpr uint VALUE_QUADS = VALUE_WIDTH / 4;
constant constexpr uint ROW_QUADS = 2 * KEY_HEADS * KEY_QUADS + VALUE_HEADS * VALUE_QUADS;
constant constexpr uint SLICE_QUADS = SLICE_FRAGMENTS * FRAGMENT / 4;
// The pitch of staged rows puts neighboring rows into different banks.
constant constexpr uint PITCH = SLICE_QUADS + 2;
// Row distance between two quads that a lane fetches.
constant constexpr uint STRIDE = LANES / SLICE_QUADS;
// The smallest log decay: its exponential is zero. Smaller values would cost the sums digits that weak decays need.
constant constexpr float MIN_LOG_DECAY = -104.0f;
static_assert(SUBGROUPS * FRAGMENT == CHUNK && LANES == SUBGROUPS * SIMD && LANES >= CHUNK, "a fragment's rows to each SIMD group");
static_assert(FETCHES * STRIDE == CHUNK && KEY_QUADS % SLICE_QUADS == 0 && VALUE_QUADS % SLICE_QUADS == 0, "whole slices");

// A lane's quads of a slice of the chunk's rows. Past the last row they are zero.
inline void fetch(thread float4* next, device const float4* qkv, Chunk chunk, uint quad, uint lane) {
    #pragma unroll
    for (uint i = 0; i < FETCHES; i++) {
        const uint row = lane / SLICE_QUADS + i * STRIDE;
        const float4 source = qkv[(chunk.row + min(row, max(chunk.rows, 1u) - 1)) * ROW_QUADS + quad + lane % SLICE_QUADS];
        next[i] = row < chunk.rows ? source : float4(0.0f);
    }
}

// e^(c[t] − c[s]) for the s of a quad that are before `end`; logarithms are subtracted and masked before the
// exponential.
inline float4 decay_of(threadgroup const float* decays, uint row, uint quad, uint end) {
    const bool4 visible = 4 * quad + uint4(0, 1, 2, 3) < uint4(end);
    const float4 others = ((threadgroup const float4*)decays)[quad];
    return select(float4(0.0f), exp(select(float4(0.0f), decays[row] - others, visible)), visible);
}

// Stores a SIMD group's fragments of a row of fragments in its rows of `triangle`.
inline void save(threadgroup float4* own, thread const Sum* fragments, uint count) {
    #pragma unroll
    for (uint j = 0; j < count; j++) {
        simdgroup_store(fragments[j], (threadgroup float*)own + j * FRAGMENT, 4 * TRIANGLE_PITCH);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

kernel void gdn_chunk_solve(
    device const uint* step [[buffer(0)]],
    device const float4* qkv [[buffer(1)]],
    device const float* gates [[buffer(2)]],
    device Quad_state_reads* state_reads [[buffer(3)]],
    device Quad_state_writes* state_writes [[buffer(4)]],
    device float* u [[buffer(5)]],
    device float* chunk_decay [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]],
    uint subgroup [[simdgroup_index_in_threadgroup]],
    uint member [[thread_index_in_simdgroup]])
{
    // Keys and queries, later two slices of keys and values in turn.
    threadgroup half4 staged[2 * CHUNK * PITCH];
    threadgroup float4 triangle[CHUNK * TRIANGLE_PITCH];
    // Cumulative log decays and betas. Past the last token both are zero, so these tokens change nothing.
    threadgroup float4 decay_quads[CHUNK_QUADS];
    threadgroup float betas[CHUNK];
    // The maximum number of chunks. Chunks after the last one have no rows and are zero.
    if (group.y >= row_count(step) / CHUNK + 2 * sequences(step)) {
        return;
    }
    const Chunk chunk = chunk_at(step, group.y);
    const uint head = group.x;
    const uint at = group.y * VALUE_HEADS + head;
    const uint query_from = head / SHARING % KEY_HEADS * KEY_QUADS;
    const uint key_from = query_from + KEY_HEADS * KEY_QUADS;
    const uint value_from = 2 * KEY_HEADS * KEY_QUADS + head * VALUE_QUADS;
    device half4* own_state_reads = state_reads + at * 2 * CHUNK * KEY_QUADS;
    device half4* own_state_writes = state_writes + at * (KEY_WIDTH + CHUNK) * CHUNK_QUADS;
    threadgroup float* decays = (threadgroup float*)decay_quads;
    float4 keys[FETCHES], queries[FETCHES];
    fetch(keys, qkv, chunk, key_from, lane);
    fetch(queries, qkv, chunk, query_from, lane);
    if (lane < CHUNK) {
        device const float* gate = gates + (chunk.row + min(lane, max(chunk.rows, 1u) - 1)) * 2 * VALUE_HEADS + head;
        decays[lane] = lane < chunk.rows ? max(gate[0], MIN_LOG_DECAY) : 0.0f;
        betas[lane] = lane < chunk.rows ? gate[VALUE_HEADS] : 0.0f;
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
        chunk_decay[at] = exp(last);
    }
    Sum grams[SUBGROUPS], scores[SUBGROUPS];
    #pragma unroll
    for (uint j = 0; j < SUBGROUPS; j++) {
        grams[j] = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
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
            own_state_reads[(CHUNK + row) * KEY_QUADS + slice + quad] = half4(queries[i] * exp(decays[row]));
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        // The next slice loads while this one is multiplied. After the last slice, the first slice of keys loads again.
        const uint next = (slice + SLICE_QUADS) % KEY_QUADS;
        fetch(keys, qkv, chunk, key_from + next, lane);
        fetch(queries, qkv, chunk, query_from + next, lane);
        // Keys become columns: a lane transposes a quad of tokens, and its neighbors the next quads.
        for (uint i = lane; i < 4 * SLICE_QUADS * CHUNK_QUADS; i += LANES) {
            const uint key = i / CHUNK_QUADS;
            const uint quad = i % CHUNK_QUADS;
            threadgroup const half* column = (threadgroup const half*)(staged + 4 * quad * PITCH) + key;
            const float4 tokens = float4(half4(column[0], column[4 * PITCH], column[8 * PITCH], column[12 * PITCH]));
            own_state_writes[(4 * slice + key) * CHUNK_QUADS + quad] = half4(tokens * exp(last - decay_quads[quad]));
        }
        #pragma unroll
        for (uint k = 0; k < SLICE_FRAGMENTS; k++) {
            Operand key, query, right;
            simdgroup_load(key, (threadgroup const half*)(staged + subgroup * FRAGMENT * PITCH) + k * FRAGMENT, 4 * PITCH);
            simdgroup_load(query, (threadgroup const half*)(other + subgroup * FRAGMENT * PITCH) + k * FRAGMENT, 4 * PITCH);
            #pragma unroll
            for (uint j = 0; j < SUBGROUPS; j++) {
                threadgroup const half* rows = (threadgroup const half*)(staged + j * FRAGMENT * PITCH);
                simdgroup_load(right, rows + k * FRAGMENT, 4 * PITCH, ulong2(0, 0), true);
                simdgroup_multiply_accumulate(grams[j], key, right, grams[j]);
                simdgroup_multiply_accumulate(scores[j], query, right, scores[j]);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    threadgroup float4* own = triangle + subgroup * FRAGMENT * TRIANGLE_PITCH;
    save(own, scores, SUBGROUPS);
    for (uint i = member; i < FRAGMENT * CHUNK_QUADS; i += SIMD) {
        const uint row = subgroup * FRAGMENT + i / CHUNK_QUADS;
        const uint quad = i % CHUNK_QUADS;
        const float4 score = triangle[row * TRIANGLE_PITCH + quad] * decay_of(decays, row, quad, row + 1);
        own_state_writes[(KEY_WIDTH + row) * CHUNK_QUADS + quad] = half4(score);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    save(own, grams, SUBGROUPS);
    for (uint i = member; i < FRAGMENT * CHUNK_QUADS; i += SIMD) {
        const uint row = subgroup * FRAGMENT + i / CHUNK_QUADS;
        const uint quad = i % CHUNK_QUADS;
        triangle[row * TRIANGLE_PITCH + quad] *= betas[row] * decay_of(decays, row, quad, row);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    invert(triangle, lane);
    // A⁻¹ is zero to the right of the diagonal's fragments.
    Sum inverse[SUBGROUPS];
    #pragma unroll
    for (uint k = 0; k < SUBGROUPS; k++) {
        simdgroup_load(inverse[k], (threadgroup const float*)own + k * FRAGMENT, 4 * TRIANGLE_PITCH);
    }
    // Keys, then values; two slices are staged in turn.
    for (uint slice = 0; slice < KEY_QUADS + VALUE_QUADS; slice += SLICE_QUADS) {
        const bool of_keys = slice < KEY_QUADS;
        threadgroup half4* turn = staged + slice / SLICE_QUADS % 2 * CHUNK * PITCH;
        #pragma unroll
        for (uint i = 0; i < FETCHES; i++) {
            const uint row = lane / SLICE_QUADS + i * STRIDE;
            const float factor = betas[row] * (of_keys ? -exp(decays[row]) : 1.0f);
            turn[row * PITCH + lane % SLICE_QUADS] = half4(factor * keys[i]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const uint next = min(slice + SLICE_QUADS, KEY_QUADS + VALUE_QUADS - SLICE_QUADS);
        fetch(keys, qkv, chunk, next < KEY_QUADS ? key_from + next : value_from + next - KEY_QUADS, lane);
        Sum sums[SLICE_FRAGMENTS];
        #pragma unroll
        for (uint j = 0; j < SLICE_FRAGMENTS; j++) {
            sums[j] = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
        }
        #pragma unroll
        for (uint k = 0; k < SUBGROUPS; k++) {
            if (k > subgroup) {
                continue;
            }
            #pragma unroll
            for (uint j = 0; j < SLICE_FRAGMENTS; j++) {
                Operand right;
                simdgroup_load(right, (threadgroup const half*)(turn + k * FRAGMENT * PITCH) + j * FRAGMENT, 4 * PITCH);
                simdgroup_multiply_accumulate(sums[j], inverse[k], right, sums[j]);
            }
        }
        if (!of_keys) {
            device float* to = u + (at * CHUNK + subgroup * FRAGMENT) * VALUE_WIDTH + 4 * (slice - KEY_QUADS);
            #pragma unroll
            for (uint j = 0; j < SLICE_FRAGMENTS; j++) {
                simdgroup_store(sums[j], to + j * FRAGMENT, VALUE_WIDTH);
            }
            continue;
        }
        save(own, sums, SLICE_FRAGMENTS);
        for (uint i = member; i < FRAGMENT * SLICE_QUADS; i += SIMD) {
            const uint row = i / SLICE_QUADS;
            const uint quad = i % SLICE_QUADS;
            own_state_reads[(subgroup * FRAGMENT + row) * KEY_QUADS + slice + quad] = half4(own[row * TRIANGLE_PITCH + quad]);
        }
    }
}

// out[t, h] = Σ_s softmax_s(q[t, h]·k[s] / √D) · v[s] · sigmoid(gate[t, h]), s ≤ position of t, over a paged cache
// tables [slots, MAX_PAGES], q [T, Hq·D], keys, values [pages·PAGE·Hkv, D], x [T, projected]: each gate behind its query, out [T, Hq·D]
// one group a query head and tile of one sequence's rows; KEYS keys at a time pass by; a SIMD group has FRAGMENT rows in registers
constant constexpr uint QUADS = HEAD / 4;
constant constexpr uint FRAGMENTS = HEAD / FRAGMENT;
// Keys of a tile. Tiles start at multiples of KEYS, so a row's sums do not depend on its tile.
constant constexpr uint KEYS = 2 * FRAGMENT;
constant constexpr uint KEY_QUADS = KEYS / 4;
// Lanes that share a row, each with a quad of a tile's keys.
constant constexpr uint SHARERS = SIMD / FRAGMENT;
// The pitch of staged rows and scores puts neighboring rows into different banks.
constant constexpr uint PITCH = QUADS + 2;
constant constexpr uint SCORE_PITCH = KEY_QUADS + 1;
// Rows that the lanes stage at once, and rounds for a tile of keys.
constant constexpr uint AT_ONCE = LANES / QUADS;
constant constexpr uint ROUNDS = KEYS / AT_ONCE;
// Below any score, and finite.
constant constexpr float LOWEST = -3.0e38f;
// A row's weights are relative to a reference: an earlier largest score. It changes when a score exceeds it by
// MAX_EXPONENT, so sums are rarely rescaled.
constant constexpr float MAX_EXPONENT = 16.0f;
static_assert(SIDE == TILE && SIDE == 2 * KEYS && LANES == SIDE / FRAGMENT * SIMD, "a fragment of rows to each SIMD group");
static_assert(SHARERS == KEY_QUADS && ROUNDS * AT_ONCE == KEYS, "every lane has a quad of scores and of each staged row");

// The threadgroup memory of a SIMD group.
struct Own {
    // Scores, which become weights.
    threadgroup float4* scores;
    // A fragment with a factor for each row on its diagonal.
    threadgroup float2* factors;
};

// The running softmax of a row, as one of its lanes sees it.
struct Softmax {
    uint position;
    float reference;
    // Of this lane's weights.
    float total;
};

// Where a lane finds its quads of a sequence's keys and values.
struct Context {
    device const uint* tables;
    uint slot;
    uint last;
    // The offset among the KV_HEADS · QUADS quads of a row of the cache.
    uint quad;
};

// A lane's loaded quad of keys or values; both have one type.
typedef Held<Quad_keys>::type Kept;

// A lane's quads of the tile of keys or values from `base` on. Past the end the last position repeats: zero times NaN
// would be NaN.
inline void fetch(thread Kept* ahead, device const Quad_keys* cache, Context context, uint base, uint lane) {
    #pragma unroll
    for (uint i = 0; i < ROUNDS; i++) {
        const uint position = min(base + i * AT_ONCE + lane / QUADS, context.last);
        const uint row = place(context.tables, context.slot, position);
        ahead[i] = held(cache, row * KV_HEADS * QUADS + context.quad);
    }
}

inline void stage(threadgroup half4* tile, thread const Kept* ahead, uint lane) {
    #pragma unroll
    for (uint i = 0; i < ROUNDS; i++) {
        tile[(i * AT_ONCE + lane / QUADS) * PITCH + lane % QUADS] = half4(unpack(ahead[i]));
    }
}

// q · kᵀ for the SIMD group's rows and a staged tile of keys.
inline void score(threadgroup float4* scores, thread const Operand* queries, threadgroup const half4* tile) {
    Sum left = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
    Sum right = left;
    threadgroup const half* keys = (threadgroup const half*)tile;
    #pragma unroll
    for (uint i = 0; i < FRAGMENTS; i++) {
        Operand key;
        simdgroup_load(key, keys + i * FRAGMENT, 4 * PITCH, ulong2(0, 0), true);
        simdgroup_multiply_accumulate(left, queries[i], key, left);
        simdgroup_load(key, keys + 4 * FRAGMENT * PITCH + i * FRAGMENT, 4 * PITCH, ulong2(0, 0), true);
        simdgroup_multiply_accumulate(right, queries[i], key, right);
    }
    threadgroup float* to = (threadgroup float*)scores;
    simdgroup_store(left, to, 4 * SCORE_PITCH);
    simdgroup_store(right, to + FRAGMENT, 4 * SCORE_PITCH);
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

// Turns scores into weights, which are powers of two. Returns whether a row's sums must be multiplied by its factor.
inline bool weigh(Own own, thread Softmax& row, uint base, uint member) {
    const uint within = member / SHARERS;
    const uint quad = member % SHARERS;
    const float scale = 1.4426950408889634f * rsqrt(float(HEAD));
    const bool4 visible = base + 4 * quad + uint4(0, 1, 2, 3) <= uint4(row.position);
    const float4 scores = select(float4(LOWEST), own.scores[within * SCORE_PITCH + quad] * scale, visible);
    float row_max = max(max(scores.x, scores.y), max(scores.z, scores.w));
    #pragma unroll
    for (uint distance = 1; distance < SHARERS; distance *= 2) {
        row_max = max(row_max, simd_shuffle_xor(row_max, distance));
    }
    float factor = 1.0f;
    if (row_max > row.reference + MAX_EXPONENT) {
        factor = exp2(row.reference - row_max);
        row.reference = row_max;
    }
    const float4 weights = exp2(scores - row.reference);
    row.total = fma(row.total, factor, (weights.x + weights.y) + (weights.z + weights.w));
    own.scores[within * SCORE_PITCH + quad] = weights;
    own.factors[member] = select(float2(0.0f), float2(factor), 2 * quad + uint2(0, 1) == within);
    // Before the first tile no sums need rescaling.
    return simd_any(base > 0 && factor != 1.0f);
}

// The SIMD group's sums, each row times its factor.
inline void rescale(thread Sum* sums, threadgroup const float2* factors) {
    Sum diagonal;
    simdgroup_load(diagonal, (threadgroup const float*)factors, FRAGMENT);
    #pragma unroll
    for (uint i = 0; i < FRAGMENTS; i++) {
        simdgroup_multiply(sums[i], diagonal, sums[i]);
    }
}

// Adds weights · v for a staged tile of values.
inline void accumulate(thread Sum* sums, threadgroup const float4* weights, threadgroup const half4* tile) {
    Sum first, second;
    Operand value;
    simdgroup_load(first, (threadgroup const float*)weights, 4 * SCORE_PITCH);
    simdgroup_load(second, (threadgroup const float*)weights + FRAGMENT, 4 * SCORE_PITCH);
    threadgroup const half* values = (threadgroup const half*)tile;
    #pragma unroll
    for (uint i = 0; i < FRAGMENTS; i++) {
        simdgroup_load(value, values + i * FRAGMENT, 4 * PITCH);
        simdgroup_multiply_accumulate(sums[i], first, value, sums[i]);
        simdgroup_load(value, values + 4 * FRAGMENT * PITCH + i * FRAGMENT, 4 * PITCH);
        simdgroup_multiply_accumulate(sums[i], second, value, sums[i]);
    }
}

kernel void attend_mma(
    device const uint* step [[buffer(0)]],
    device const uint* tables [[buffer(1)]],
    device const Quad_q* q [[buffer(2)]],
    device const Quad_keys* keys [[buffer(3)]],
    device const Quad_values* values [[buffer(4)]],
    device const Quad_x* x [[buffer(5)]],
    device Quad_out* out [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]],
    uint subgroup [[simdgroup_index_in_threadgroup]],
    uint member [[thread_index_in_simdgroup]])
{
    // Queries at first, then a tile of keys and one of values.
    threadgroup half4 staged[SIDE * PITCH];
    threadgroup float4 scores[SIDE * SCORE_PITCH];
    threadgroup float2 factors[SIDE * FRAGMENT / 2];
    if (group.y >= step[STEP_TILE_COUNT]) {
        return;
    }
    // The last tiles of a sequence have the most keys and start first.
    const Tile tile = tile_at(step, step[STEP_TILE_COUNT] - 1 - group.y);
    const uint head = group.x;
    const uint last = tile.span.position + tile.end - 1;
    for (uint i = lane / QUADS; i < SIDE; i += AT_ONCE) {
        // Rows past the last repeat it.
        const uint row = tile.span.row + min(tile.first + i, tile.end - 1);
        staged[i * PITCH + lane % QUADS] = half4(unpack(q[(row * Q_HEADS + head) * QUADS + lane % QUADS]));
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    Operand queries[FRAGMENTS];
    Sum sums[FRAGMENTS];
    #pragma unroll
    for (uint i = 0; i < FRAGMENTS; i++) {
        simdgroup_load(queries[i], (threadgroup const half*)(staged + subgroup * FRAGMENT * PITCH) + i * FRAGMENT, 4 * PITCH);
        sums[i] = make_filled_simdgroup_matrix<float, FRAGMENT, FRAGMENT>(0.0f);
    }
    const Own own = {scores + subgroup * FRAGMENT * SCORE_PITCH, factors + subgroup * SIMD};
    const uint first = tile.first + subgroup * FRAGMENT;
    const uint offset = first + member / SHARERS;
    Softmax row = {tile.span.position + min(offset, tile.end - 1), LOWEST, 0.0f};
    // The end of the positions that the SIMD group's rows see; zero without rows.
    const uint visible_keys = first < tile.end ? tile.span.position + min(first + FRAGMENT, tile.end) : 0;
    const Context context = {tables, tile.span.slot, last, head / (Q_HEADS / KV_HEADS) * QUADS + lane % QUADS};
    threadgroup half4* value_tile = staged + KEYS * PITCH;
    Kept ahead[ROUNDS];
    fetch(ahead, keys, context, 0, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint base = 0; base <= last; base += KEYS) {
        stage(staged, ahead, lane);
        fetch(ahead, values, context, base, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        bool needs_rescale = false;
        if (base < visible_keys) {
            score(own.scores, queries, staged);
            needs_rescale = weigh(own, row, base, member);
        }
        stage(value_tile, ahead, lane);
        fetch(ahead, keys, context, base + KEYS, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (needs_rescale) {
            rescale(sums, own.factors);
        }
        if (base < visible_keys) {
            accumulate(sums, own.scores, value_tile);
        }
    }
    #pragma unroll
    for (uint distance = 1; distance < SHARERS; distance *= 2) {
        row.total += simd_shuffle_xor(row.total, distance);
    }
    // Divides by the sum of weights, applies the gate, and stores the rows that exist.
    #pragma unroll
    for (uint i = 0; i < FRAGMENTS; i += 2) {
        threadgroup float* fragment = (threadgroup float*)own.scores;
        simdgroup_store(sums[i], fragment, 4 * SCORE_PITCH);
        simdgroup_store(sums[i + 1], fragment + FRAGMENT, 4 * SCORE_PITCH);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        if (offset < tile.end) {
            const uint at = (tile.span.row + offset) * Q_HEADS + head;
            const uint quad = i * FRAGMENT / 4 + member % SHARERS;
            const uint gate = ((tile.span.row + offset) * 2 * (Q_HEADS + KV_HEADS) + 2 * head + 1) * QUADS + quad;
            const float4 sum = own.scores[member / SHARERS * SCORE_PITCH + member % SHARERS] / row.total;
            out[at * QUADS + quad] = pack<Quad_out>(sum * sigmoid(unpack(x[gate])));
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
}

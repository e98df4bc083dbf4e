// out[t, h] = Σ_s softmax_s(q[t, h]·k[s] / √D) · v[s] · sigmoid(gate[t, h]), s ≤ position of t, over a paged cache
// tables [slots, MAX_BLOCKS], q [T, Hq·D], keys, values [blocks·BLOCK·Hkv, D], x [T, projected]: each gate behind its query, out [T, Hq·D]
// one group a query head and tile of one sequence's rows; KEYS keys at a time pass by; a SIMD group has EDGE rows in registers
constant constexpr uint QUADS = HEAD / 4;
constant constexpr uint SQUARES = HEAD / EDGE;
// Keys of a tile, which starts at a multiple of them, so that a row's sums do not depend on the tile it is in.
constant constexpr uint KEYS = 2 * EDGE;
constant constexpr uint KEY_QUADS = KEYS / 4;
// Lanes that share a row, each with a quad of a tile's keys.
constant constexpr uint SHARERS = SIMD / EDGE;
// Staged rows and scores have a pitch that puts neighbouring rows into different banks.
constant constexpr uint PITCH = QUADS + 2;
constant constexpr uint SCORE_PITCH = KEY_QUADS + 1;
// Rows that the lanes stage at once, and how often they do for a tile of keys.
constant constexpr uint AT_ONCE = LANES / QUADS;
constant constexpr uint ROUNDS = KEYS / AT_ONCE;
// Less than any score, and finite.
constant constexpr float LOWEST = -3.0e38f;
// A row's weights are relative to a reference, its largest score until one exceeds it by MOST: sums are rarely rescaled.
constant constexpr float MOST = 16.0f;
static_assert(SIDE == TILE && SIDE == 2 * KEYS && LANES == SIDE / EDGE * SIMD, "a square of rows to each SIMD group");
static_assert(SHARERS == KEY_QUADS && ROUNDS * AT_ONCE == KEYS, "every lane has a quad of scores and of each staged row");

// What a SIMD group has of threadgroup memory.
struct Own {
    // Scores, which become weights.
    threadgroup float4* scores;
    // A square with a factor for each row on its diagonal.
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
    // Of KV_HEADS · QUADS in a row of the cache.
    uint quad;
};

// What a lane holds of a quad of keys, or of values, which are of one type.
typedef Held<Quad_keys>::type Kept;

// A lane's quads of the tile of keys or values from `base` on. Past the last position it repeats: what a weight of zero is
// multiplied with must not be NaN.
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
    Sum left = make_filled_simdgroup_matrix<float, EDGE, EDGE>(0.0f);
    Sum right = left;
    threadgroup const half* keys = (threadgroup const half*)tile;
    #pragma unroll
    for (uint i = 0; i < SQUARES; i++) {
        Operand key;
        simdgroup_load(key, keys + i * EDGE, 4 * PITCH, ulong2(0, 0), true);
        simdgroup_multiply_accumulate(left, queries[i], key, left);
        simdgroup_load(key, keys + 4 * EDGE * PITCH + i * EDGE, 4 * PITCH, ulong2(0, 0), true);
        simdgroup_multiply_accumulate(right, queries[i], key, right);
    }
    threadgroup float* to = (threadgroup float*)scores;
    simdgroup_store(left, to, 4 * SCORE_PITCH);
    simdgroup_store(right, to + EDGE, 4 * SCORE_PITCH);
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

// Scores become weights, in powers of two. Says whether a row's sums must be multiplied by its factor.
inline bool weigh(Own own, thread Softmax& row, uint base, uint member) {
    const uint within = member / SHARERS;
    const uint quad = member % SHARERS;
    const float scale = 1.4426950408889634f * rsqrt(float(HEAD));
    const bool4 seen = base + 4 * quad + uint4(0, 1, 2, 3) <= uint4(row.position);
    const float4 scores = select(float4(LOWEST), own.scores[within * SCORE_PITCH + quad] * scale, seen);
    float most = max(max(scores.x, scores.y), max(scores.z, scores.w));
    #pragma unroll
    for (uint apart = 1; apart < SHARERS; apart *= 2) {
        most = max(most, simd_shuffle_xor(most, apart));
    }
    float factor = 1.0f;
    if (most > row.reference + MOST) {
        factor = exp2(row.reference - most);
        row.reference = most;
    }
    const float4 weights = exp2(scores - row.reference);
    row.total = fma(row.total, factor, (weights.x + weights.y) + (weights.z + weights.w));
    own.scores[within * SCORE_PITCH + quad] = weights;
    own.factors[member] = select(float2(0.0f), float2(factor), 2 * quad + uint2(0, 1) == within);
    // There is nothing to rescale in front of the first tile.
    return simd_any(base > 0 && factor != 1.0f);
}

// The SIMD group's sums, each row times its factor.
inline void rescale(thread Sum* sums, threadgroup const float2* factors) {
    Sum diagonal;
    simdgroup_load(diagonal, (threadgroup const float*)factors, EDGE);
    #pragma unroll
    for (uint i = 0; i < SQUARES; i++) {
        simdgroup_multiply(sums[i], diagonal, sums[i]);
    }
}

// Adds weights · v for a staged tile of values.
inline void accumulate(thread Sum* sums, threadgroup const float4* weights, threadgroup const half4* tile) {
    Sum first, second;
    Operand value;
    simdgroup_load(first, (threadgroup const float*)weights, 4 * SCORE_PITCH);
    simdgroup_load(second, (threadgroup const float*)weights + EDGE, 4 * SCORE_PITCH);
    threadgroup const half* values = (threadgroup const half*)tile;
    #pragma unroll
    for (uint i = 0; i < SQUARES; i++) {
        simdgroup_load(value, values + i * EDGE, 4 * PITCH);
        simdgroup_multiply_accumulate(sums[i], first, value, sums[i]);
        simdgroup_load(value, values + 4 * EDGE * PITCH + i * EDGE, 4 * PITCH);
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
    uint team [[simdgroup_index_in_threadgroup]],
    uint member [[thread_index_in_simdgroup]])
{
    // Queries at first, then a tile of keys and one of values.
    threadgroup half4 staged[SIDE * PITCH];
    threadgroup float4 scores[SIDE * SCORE_PITCH];
    threadgroup float2 factors[SIDE * EDGE / 2];
    if (group.y >= step[2]) {
        return;
    }
    // Tiles with the most keys come last in a sequence and are started first.
    const Tile part = tile(step, step[2] - 1 - group.y);
    const uint head = group.x;
    const uint last = part.span.position + part.end - 1;
    for (uint i = lane / QUADS; i < SIDE; i += AT_ONCE) {
        // Rows past the last repeat it.
        const uint row = part.span.row + min(part.first + i, part.end - 1);
        staged[i * PITCH + lane % QUADS] = half4(unpack(q[(row * Q_HEADS + head) * QUADS + lane % QUADS]));
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    Operand queries[SQUARES];
    Sum sums[SQUARES];
    #pragma unroll
    for (uint i = 0; i < SQUARES; i++) {
        simdgroup_load(queries[i], (threadgroup const half*)(staged + team * EDGE * PITCH) + i * EDGE, 4 * PITCH);
        sums[i] = make_filled_simdgroup_matrix<float, EDGE, EDGE>(0.0f);
    }
    const Own own = {scores + team * EDGE * SCORE_PITCH, factors + team * SIMD};
    const uint first = part.first + team * EDGE;
    const uint offset = first + member / SHARERS;
    Softmax row = {part.span.position + min(offset, part.end - 1), LOWEST, 0.0f};
    // What is behind the last position that one of the SIMD group's rows sees; nothing if it has none.
    const uint seen = first < part.end ? part.span.position + min(first + EDGE, part.end) : 0;
    const Context context = {tables, part.span.slot, last, head / (Q_HEADS / KV_HEADS) * QUADS + lane % QUADS};
    threadgroup half4* value_tile = staged + KEYS * PITCH;
    Kept ahead[ROUNDS];
    fetch(ahead, keys, context, 0, lane);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint base = 0; base <= last; base += KEYS) {
        stage(staged, ahead, lane);
        fetch(ahead, values, context, base, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        bool moved = false;
        if (base < seen) {
            score(own.scores, queries, staged);
            moved = weigh(own, row, base, member);
        }
        stage(value_tile, ahead, lane);
        fetch(ahead, keys, context, base + KEYS, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (moved) {
            rescale(sums, own.factors);
        }
        if (base < seen) {
            accumulate(sums, own.scores, value_tile);
        }
    }
    #pragma unroll
    for (uint apart = 1; apart < SHARERS; apart *= 2) {
        row.total += simd_shuffle_xor(row.total, apart);
    }
    // Divides by the sum of weights, gates, and stores the rows that exist.
    #pragma unroll
    for (uint i = 0; i < SQUARES; i += 2) {
        threadgroup float* square = (threadgroup float*)own.scores;
        simdgroup_store(sums[i], square, 4 * SCORE_PITCH);
        simdgroup_store(sums[i + 1], square + EDGE, 4 * SCORE_PITCH);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        if (offset < part.end) {
            const uint at = (part.span.row + offset) * Q_HEADS + head;
            const uint quad = i * EDGE / 4 + member % SHARERS;
            const uint gate = ((part.span.row + offset) * 2 * (Q_HEADS + KV_HEADS) + 2 * head + 1) * QUADS + quad;
            const float4 sum = own.scores[member / SHARERS * SCORE_PITCH + member % SHARERS] / row.total;
            out[at * QUADS + quad] = pack<Quad_out>(sum * sigmoid(unpack(x[gate])));
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
    }
}

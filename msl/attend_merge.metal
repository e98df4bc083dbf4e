// out[r, h] = Σ_i exp(m_i − m) · sum_i / Σ_i exp(m_i − m) · weight_i · sigmoid(gate[r, h]), over the splits i that are not empty
// sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2] of (m, weight), x [S, STRIDE] with each gate behind its query, out [S, Hq·D]
// one group a query head and row; a lane has one quad of all splits where they are few, else of every PARTS-th, ROUNDS times SHARE
constant constexpr uint QUADS = HEAD / 4;
// Below any score, and finite, so that LOWEST − LOWEST is zero.
constant constexpr float LOWEST = -3.0e38f;
static_assert(PARTS * ROUNDS * SHARE >= SPLITS && PARTS * QUADS == LANES, "lanes for all splits");

// Merged splits: the largest m, and relative to it the sum of weights and a quad of the sums.
struct Merged {
    float2 stat;
    float4 sum;
};

// The splits of a lane: from `part` on, `stride` apart. Each has `share` positions of the context.
struct Splits {
    uint part;
    uint stride;
    uint share;
    uint context;

    uint at(uint i) const {
        return i * stride + part;
    }
    // Whether a split is not empty.
    bool counts(uint i) const {
        return at(i) * share < context;
    }
};

// Merges a lane's splits.
inline Merged merge(device const float2* stats, device const float4* sums, Splits splits) {
    Merged merged = {float2(LOWEST, 0.0f), 0.0f};
    #pragma unroll
    for (uint r = 0; r < ROUNDS; r++) {
        if (r * SHARE * splits.stride * splits.share >= splits.context) {
            break;
        }
        // Loads all splits at once. In place of an empty split the first one loads, with weight zero.
        float2 stat[SHARE];
        float4 sum[SHARE];
        float top = merged.stat.x;
        #pragma unroll
        for (uint i = 0; i < SHARE; i++) {
            const bool counts = splits.counts(r * SHARE + i);
            const uint split = counts ? splits.at(r * SHARE + i) : 0;
            stat[i] = stats[split];
            sum[i] = sums[split * QUADS];
            top = counts ? max(top, stat[i].x) : top;
        }
        const float fade = exp(merged.stat.x - top);
        merged = Merged{float2(top, fade * merged.stat.y), fade * merged.sum};
        #pragma unroll
        for (uint i = 0; i < SHARE; i++) {
            const float scale = splits.counts(r * SHARE + i) ? exp(stat[i].x - top) : 0.0f;
            merged.stat.y = fma(scale, stat[i].y, merged.stat.y);
            merged.sum = fma(float4(scale), sum[i], merged.sum);
        }
    }
    return merged;
}

kernel void attend_merge(
    device const uint* step [[buffer(0)]],
    device const float4* sums [[buffer(1)]],
    device const float2* stats [[buffer(2)]],
    device const float4* x [[buffer(3)]],
    device Quad_out* out [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    // The largest m, the sum of weights and the sums of each part.
    threadgroup float2 tops[PARTS];
    threadgroup float4 totals[LANES];
    const uint row = group.y;
    const uint context = span(step, row).position + 1;
    if (row >= row_count(step)) {
        return;
    }
    const uint quad = lane % QUADS;
    const uint part = lane / QUADS;
    const uint head = row * Q_HEADS + group.x;
    const float4 gate = sigmoid(x[row * (STRIDE / 4) + (2 * group.x + 1) * QUADS + quad]);
    const uint share = split_share(context);
    // If a lane takes all splits at once, other lanes take none.
    const uint stride = context <= SHARE * share ? 1 : PARTS;
    if (part >= stride) {
        return;
    }
    const Splits splits = {part, stride, share, context};
    Merged merged = merge(stats + head * SPLITS, sums + head * SPLITS * QUADS + quad, splits);
    if (stride > 1) {
        if (quad == 0) {
            tops[part] = merged.stat;
        }
        totals[lane] = merged.sum;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (part > 0) {
            return;
        }
        float top = LOWEST;
        #pragma unroll
        for (uint other = 0; other < PARTS; other++) {
            top = max(top, tops[other].x);
        }
        merged = Merged{float2(top, 0.0f), 0.0f};
        #pragma unroll
        for (uint other = 0; other < PARTS; other++) {
            const float scale = exp(tops[other].x - top);
            merged.stat.y = fma(scale, tops[other].y, merged.stat.y);
            merged.sum = fma(float4(scale), totals[other * QUADS + quad], merged.sum);
        }
    }
    out[head * QUADS + quad] = pack<Quad_out>(gate / merged.stat.y * merged.sum);
}

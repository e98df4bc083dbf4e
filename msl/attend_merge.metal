// out[r, h] = Σ_i exp(m_i − m) · sum_i / Σ_i exp(m_i − m) · weight_i · sigmoid(gate[r, h]), over the splits i that are not empty
// sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2] of (m, weight), x [S, STRIDE] with each gate behind its query, out [S, Hq·D]
// one group a query head and row; a lane has one quad of every PARTS-th split
constant constexpr uint QUADS = HEAD / 4;
constant constexpr uint PARTS = LANES / QUADS;
// Less than any score; finite, so that two of them differ by zero.
constant constexpr float LOWEST = -3.0e38f;
static_assert(PARTS * SHARE >= SPLITS && QUADS <= LANES, "lanes for all splits");

kernel void attend_merge(
    device const uint* step [[buffer(0)]],
    device const float4* sums [[buffer(1)]],
    device const float2* stats [[buffer(2)]],
    device const float4* x [[buffer(3)]],
    device Quad_out* out [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    // Each part's largest m and sum of weights, and its sums.
    threadgroup float2 tops[PARTS];
    threadgroup float4 totals[LANES];
    const uint row = group.y;
    if (row >= live(step)) {
        return;
    }
    const uint context = span(step, row).position + 1;
    const uint share = split_share(context);
    const uint count = (context + share - 1) / share;
    const uint quad = lane % QUADS;
    const uint part = lane / QUADS;
    const uint first = (row * Q_HEADS + group.x) * SPLITS;
    // All at once; past the last split it is repeated, and weighs nothing.
    float2 stat[SHARE];
    float4 values[SHARE];
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        const uint split = first + min(i * PARTS + part, count - 1);
        stat[i] = stats[split];
        values[i] = sums[split * QUADS + quad];
    }
    const float4 gate = x[row * (STRIDE / 4) + (2 * group.x + 1) * QUADS + quad];
    float top = LOWEST;
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        top = i * PARTS + part < count ? max(top, stat[i].x) : top;
    }
    float weight = 0.0f;
    float4 sum = 0.0f;
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        const float scale = i * PARTS + part < count ? exp(stat[i].x - top) : 0.0f;
        weight = fma(scale, stat[i].y, weight);
        sum = fma(float4(scale), values[i], sum);
    }
    if (quad == 0) {
        tops[part] = float2(top, weight);
    }
    totals[lane] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (part > 0) {
        return;
    }
    for (uint other = 0; other < PARTS; other++) {
        top = max(top, tops[other].x);
    }
    weight = 0.0f;
    sum = 0.0f;
    for (uint other = 0; other < PARTS; other++) {
        const float scale = exp(tops[other].x - top);
        weight = fma(scale, tops[other].y, weight);
        sum = fma(float4(scale), totals[other * QUADS + quad], sum);
    }
    out[(row * Q_HEADS + group.x) * QUADS + quad] = pack<Quad_out>(sum / weight * sigmoid(gate));
}

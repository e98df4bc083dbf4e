// y = silu(conv(x)) per channel of q, k, v; S ← decay·S; u = beta·(v − Sᵀk̂); S ← S + k̂ uᵀ; o = norm(Sᵀq̂) · silu(z), for one token
// x [S, STRIDE] of q, k, v, z, b, a; weight [C, 4]; conv_state [slots, 4·C] by position mod 4; a_dt [2, Hv]; norm [1, Dv]; state [slots, Hv·Dk·Dv]; o [S, Hv·Dv]
// one group a value head and sequence; MEMBERS lanes share a column of the state and keep it in registers
struct Params {
    float eps;
};

constant constexpr uint VALUES = VALUE_HEADS * VALUE_WIDTH;
constant constexpr uint CHANNELS = 2 * KEY_HEADS * KEY_WIDTH + VALUES;
// After the channels come the gate z, b and a.
constant constexpr uint STRIDE = CHANNELS + VALUES + 2 * VALUE_HEADS;
constant constexpr uint MEMBERS = LANES / COLUMNS;
// A lane keeps SHARE elements of a column: every MEMBERS-th, so that a SIMD group reads rows of neighbors.
constant constexpr uint KEY = SHARE * MEMBERS;
constant constexpr uint VALUE = 2 * KEY;
static_assert(COLUMNS >= VALUE_WIDTH && LANES % COLUMNS == 0 && KEY >= KEY_WIDTH, "a column for each lane");

// A channel's token after convolution and activation. `kept` is the channel's start in a slot of conv_state. One of the
// heads that share a channel is its owner and stores the token. No lane reads the stored token in this step, since the
// convolution reads only the three tokens before it.
inline float convolved(device float* kept, uint position, float4 taps, float now, bool owner) {
    float sum = 0.0f;
    #pragma unroll
    for (uint back = 3; back > 0; back--) {
        const float before = kept[(position + 4 - back) % 4 * CHANNELS];
        sum = fma(taps[3 - back], back <= position ? before : 0.0f, sum);
    }
    if (owner) {
        kept[position % 4 * CHANNELS] = now;
    }
    return silu(fma(taps.w, now, sum));
}

kernel void gdn_decode(
    device const uint* step [[buffer(0)]],
    device const float* x [[buffer(1)]],
    device const Quad_weight* weight [[buffer(2)]],
    device float* conv_state [[buffer(3)]],
    device const float* a_dt [[buffer(4)]],
    device const Quad_norm* norm [[buffer(5)]],
    device float* state [[buffer(6)]],
    device Quad_o* o [[buffer(7)]],
    constant Params& params [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    // The head's query, key and value after the convolution. Query and key are padded with zeros.
    threadgroup float mixed[VALUE + VALUE_WIDTH];
    // A member's part of Sᵀk and Sᵀq for each column.
    threadgroup float2 parts[LANES];
    threadgroup float squares[REDUCE_PARTS];
    const uint head = group.x;
    if (group.y >= sequences(step)) {
        return;
    }
    const Span rows = span(step, group.y);
    const uint member = lane / COLUMNS;
    const bool inside = lane % COLUMNS < VALUE_WIDTH;
    // A lane past the last column repeats that column and stores nothing.
    const uint n = min(lane % COLUMNS, VALUE_WIDTH - 1);
    device float* own = state + (rows.slot * VALUE_HEADS + head) * KEY_WIDTH * VALUE_WIDTH + n;
    float column[SHARE];
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        column[i] = rows.position > 0 ? own[min(i * MEMBERS + member, KEY_WIDTH - 1) * VALUE_WIDTH] : 0.0f;
    }
    device const float* token = x + rows.row * STRIDE;
    const float z = token[CHANNELS + head * VALUE_WIDTH + n];
    const float beta = sigmoid(token[CHANNELS + VALUES + head]);
    const float a = token[CHANNELS + VALUES + VALUE_HEADS + head];
    const float decay = exp(-exp(a_dt[head]) * softplus(a + a_dt[VALUE_HEADS + head]));
    const float gain = unpack(norm[n / 4])[n % 4];
    for (uint i = lane; i < VALUE + VALUE_WIDTH; i += LANES) {
        const uint part = min(i / KEY, 2u);
        const uint at = i - part * KEY;
        const uint width = part == 2 ? VALUE_WIDTH : KEY_WIDTH;
        const uint channel = part * KEY_HEADS * KEY_WIDTH + (part == 2 ? head : head / SHARING % KEY_HEADS) * width + at;
        const bool owner = part == 2 || (head % SHARING == 0 && head < SHARING * KEY_HEADS);
        device float* kept = conv_state + rows.slot * 4 * CHANNELS + channel;
        mixed[i] = at < width ? convolved(kept, rows.position, unpack(weight[channel]), token[channel], owner) : 0.0f;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    // With Sᵀk and Sᵀq of the state before, Sᵀq after is decay·Sᵀq + (k·q)·u: one exchange of sums, not two.
    float2 sums = 0.0f;
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        const uint at = i * MEMBERS + member;
        sums = fma(float2(column[i]), float2(mixed[KEY + at], mixed[at]), sums);
    }
    parts[lane] = sums;
    // q·q, k·k and q·k, which every SIMD group computes itself.
    float3 products = 0.0f;
    for (uint i = lane % SIMD; i < KEY; i += min(LANES, SIMD)) {
        const float2 pair = float2(mixed[i], mixed[KEY + i]);
        products = fma(pair.xyx, pair.xyy, products);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    sums = 0.0f;
    for (uint i = 0; i < MEMBERS; i++) {
        sums += parts[i * COLUMNS + lane % COLUMNS];
    }
    const float query_scale = rsqrt(simd_sum(products.x) + 1e-6f) * rsqrt(float(KEY_WIDTH));
    const float key_scale = rsqrt(simd_sum(products.y) + 1e-6f);
    const float u = beta * (mixed[VALUE + n] - decay * key_scale * sums.x);
    const float out = query_scale * fma(decay, sums.y, key_scale * simd_sum(products.z) * u);
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        if (inside && i * MEMBERS + member < KEY_WIDTH) {
            const float k = mixed[KEY + i * MEMBERS + member];
            own[(i * MEMBERS + member) * VALUE_WIDTH] = fma(k, key_scale * u, decay * column[i]);
        }
    }
    // One member counts for each column; the neighboring lanes have the rest of its quad.
    const bool counted = inside && member == 0;
    const float sum = reduce_sum(counted ? out * out : 0.0f, lane, squares);
    const float y = out * rsqrt(sum / float(VALUE_WIDTH) + params.eps) * gain * silu(z);
    const float4 quad = float4(y, simd_shuffle_down(y, 1), simd_shuffle_down(y, 2), simd_shuffle_down(y, 3));
    if (counted && n % 4 == 0) {
        o[(rows.row * VALUES + head * VALUE_WIDTH + n) / 4] = pack<Quad_o>(quad);
    }
}

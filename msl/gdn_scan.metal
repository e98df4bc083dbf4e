// S ← exp(decay)·S; u = beta·(v − Sᵀk); S ← S + k uᵀ; o = Sᵀq, token after token; value head h uses key head h / (Hv/Hk)
// qkv [T, C] of q, k, v, gates [T, 2·Hv] of decays and betas, state [slots, Hv·Dk·Dv], o [T, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; TEAM neighboring lanes keep a column in registers
constant constexpr uint CHANNELS = 2 * KEY_HEADS * KEY_WIDTH + VALUE_HEADS * VALUE_WIDTH;
constant constexpr uint COLUMNS = LANES / TEAM;
constant constexpr uint KEY_QUADS = KEY_WIDTH / 4;
// A lane's part of the TOKENS tokens that are staged together.
constant constexpr uint FETCHES = (TOKENS * KEY_QUADS + LANES - 1) / LANES;
constant constexpr uint VALUE_FETCHES = (TOKENS * COLUMNS + LANES - 1) / LANES;
static_assert(SHARE * TEAM == KEY_QUADS && TOKENS <= LANES, "a team's lanes keep every TEAM-th quad of a column");

// A lane's next loads, while the previous tokens are computed.
struct Ahead {
    float4 keys[FETCHES];
    float4 queries[FETCHES];
    float values[VALUE_FETCHES];
    float2 gate;
};

// Fetches the tokens from `offset` of the span on, and does not use them: a use would wait for the loads here. Past the
// end the last token repeats.
inline Ahead fetch(device const float4* qkv, device const float* gates, Span rows, uint offset, uint3 at) {
    const uint head = at.x;
    const uint lane = at.z;
    const uint last = rows.rows - 1;
    Ahead next;
    #pragma unroll
    for (uint i = 0; i < FETCHES; i++) {
        const uint quad = i * LANES + lane;
        const uint row = rows.row + min(offset + quad / KEY_QUADS, last);
        const uint source = row * (CHANNELS / 4) + head / SHARING % KEY_HEADS * KEY_QUADS + quad % KEY_QUADS;
        next.queries[i] = qkv[source];
        next.keys[i] = qkv[source + KEY_HEADS * KEY_QUADS];
    }
    device const float* values = (device const float*)(qkv + 2 * KEY_HEADS * KEY_QUADS) + head * VALUE_WIDTH;
    #pragma unroll
    for (uint i = 0; i < VALUE_FETCHES; i++) {
        const uint value = i * LANES + lane;
        const uint row = rows.row + min(offset + value / COLUMNS, last);
        next.values[i] = values[row * CHANNELS + min(at.y * COLUMNS + value % COLUMNS, VALUE_WIDTH - 1)];
    }
    device const float* gate = gates + (rows.row + min(offset + lane, last)) * 2 * VALUE_HEADS + head;
    next.gate = float2(gate[0], gate[VALUE_HEADS]);
    return next;
}

inline float total(float4 quad) {
    return (quad.x + quad.y) + (quad.z + quad.w);
}

kernel void gdn_scan(
    device const uint* step [[buffer(0)]],
    device const float4* qkv [[buffer(1)]],
    device const float* gates [[buffer(2)]],
    device float* state [[buffer(3)]],
    device float* o [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float4 keys[FETCHES * LANES];
    threadgroup float4 queries[FETCHES * LANES];
    threadgroup float values[VALUE_FETCHES * LANES];
    // Decay and beta of each token.
    threadgroup float2 gate[LANES];
    if (group.z >= sequences(step)) {
        return;
    }
    const Span rows = span(step, group.z);
    if (rows.rows == 0) {
        return;
    }
    const uint member = lane % TEAM;
    const uint n = group.y * COLUMNS + lane / TEAM;
    // A team past the last column repeats that column and stores nothing.
    device float* kept = state + (rows.slot * VALUE_HEADS + group.x) * KEY_WIDTH * VALUE_WIDTH + min(n, VALUE_WIDTH - 1);
    float4 column[SHARE];
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        device const float* from = kept + 4 * (i * TEAM + member) * VALUE_WIDTH;
        column[i] = rows.position == 0 ? float4(0.0f) : float4(from[0], from[VALUE_WIDTH], from[2 * VALUE_WIDTH], from[3 * VALUE_WIDTH]);
    }
    const uint3 at = uint3(group.xy, lane);
    Ahead next = fetch(qkv, gates, rows, 0, at);
    for (uint staged = 0; staged < rows.rows; staged += TOKENS) {
        #pragma unroll
        for (uint i = 0; i < FETCHES; i++) {
            keys[i * LANES + lane] = next.keys[i];
            queries[i * LANES + lane] = next.queries[i];
        }
        #pragma unroll
        for (uint i = 0; i < VALUE_FETCHES; i++) {
            values[i * LANES + lane] = next.values[i];
        }
        gate[lane] = float2(exp(next.gate.x), next.gate.y);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        next = fetch(qkv, gates, rows, staged + TOKENS, at);
        for (uint token = 0; token < min(TOKENS, rows.rows - staged); token++) {
            // With a = Sᵀk and b = Sᵀq of the state before a token, Sᵀq after it is decay·b + (k·q)·u: one exchange of
            // sums a token instead of two.
            threadgroup const float4* key = keys + token * KEY_QUADS + member;
            threadgroup const float4* query = queries + token * KEY_QUADS + member;
            float4 a = 0.0f, b = 0.0f, c = 0.0f;
            #pragma unroll
            for (uint i = 0; i < SHARE; i++) {
                a = fma(column[i], key[i * TEAM], a);
                b = fma(column[i], query[i * TEAM], b);
                c = fma(key[i * TEAM], query[i * TEAM], c);
            }
            const float3 sums = team_sum(float3(total(a), total(b), total(c)));
            const float decay = gate[token].x;
            const float u = gate[token].y * (values[token * COLUMNS + lane / TEAM] - decay * sums.x);
            #pragma unroll
            for (uint i = 0; i < SHARE; i++) {
                column[i] = fma(key[i * TEAM], float4(u), decay * column[i]);
            }
            if (n < VALUE_WIDTH && member == 0) {
                o[((rows.row + staged + token) * VALUE_HEADS + group.x) * VALUE_WIDTH + n] = fma(decay, sums.y, sums.z * u);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    #pragma unroll
    for (uint i = 0; i < SHARE && n < VALUE_WIDTH; i++) {
        device float* to = kept + 4 * (i * TEAM + member) * VALUE_WIDTH;
        to[0] = column[i].x;
        to[VALUE_WIDTH] = column[i].y;
        to[2 * VALUE_WIDTH] = column[i].z;
        to[3 * VALUE_WIDTH] = column[i].w;
    }
}

// y[t, c] = silu(Σ_j w[c, j] · x[t − 3 + j, c]), per head q, k = l2norm(q)/√Dk, l2norm(k); gates[t] = −exp(a_log)·softplus(a + dt_bias), sigmoid(b)
// x [T, STRIDE]: C channels, z, b, a; weight [C, 4], conv_state [slots, 4·C] by position mod 4, y [T, C], a_dt [2, Hv], gates [T, 2·Hv] with decays first
// one group a head and tile of one sequence's rows, RUN rows after each other to each TEAM of its lanes; behind the heads, one for the gates
constant constexpr uint KEY_CHANNELS = 2 * KEY_HEADS * KEY_WIDTH;
constant constexpr uint VALUES = VALUE_HEADS * VALUE_WIDTH;
constant constexpr uint CHANNELS = KEY_CHANNELS + VALUES;
// After the channels come the gate z, b and a.
constant constexpr uint STRIDE = CHANNELS + VALUES + 2 * VALUE_HEADS;
constant constexpr uint RUN = TILE * TEAM / LANES;
// Channels of a head that a lane has: every TEAM-th.
constant constexpr uint WIDEST = KEY_WIDTH > VALUE_WIDTH ? KEY_WIDTH : VALUE_WIDTH;
constant constexpr uint SHARE = (WIDEST + TEAM - 1) / TEAM;
static_assert(RUN * LANES == TILE * TEAM, "a tile's rows are shared out evenly");

// The index in conv_state of a channel at a position.
inline uint kept(Span rows, uint position, uint channel) {
    return (rows.slot * 4 + position % 4) * CHANNELS + channel;
}

// The convolution's input `back` rows before row `offset` of a span.
inline float before(device const float* x, device const float* conv_state, Span rows, uint2 row, uint channel) {
    const uint offset = row.x;
    const uint back = row.y;
    if (back <= offset) {
        return x[(rows.row + offset - back) * STRIDE + channel];
    }
    if (back - offset <= rows.position) {
        return conv_state[kept(rows, rows.position + offset - back, channel)];
    }
    return 0.0f;
}

// Log decays and betas of a tile's rows.
inline void store_gates(device float* gates, device const float* x, device const float* a_dt, Tile tile, uint lane) {
    for (uint i = lane; i < (tile.end - tile.first) * VALUE_HEADS; i += LANES) {
        const uint row = tile.span.row + tile.first + i / VALUE_HEADS;
        const uint head = i % VALUE_HEADS;
        const uint b = (row + 1) * STRIDE - 2 * VALUE_HEADS + head;
        gates[row * 2 * VALUE_HEADS + head] = -exp(a_dt[head]) * softplus(x[b + VALUE_HEADS] + a_dt[VALUE_HEADS + head]);
        gates[(row * 2 + 1) * VALUE_HEADS + head] = sigmoid(x[b]);
    }
}

kernel void gdn_conv(
    device const uint* step [[buffer(0)]],
    device const float* x [[buffer(1)]],
    device const Quad_weight* weight [[buffer(2)]],
    device float* conv_state [[buffer(3)]],
    device float* y [[buffer(4)]],
    device const float* a_dt [[buffer(5)]],
    device float* gates [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    const uint head = group.x;
    const Tile tile = tile_at(step, group.y);
    if (tile.end == 0) {
        return;
    }
    if (head == 2 * KEY_HEADS + VALUE_HEADS) {
        store_gates(gates, x, a_dt, tile, lane);
        return;
    }
    const Span rows = tile.span;
    const bool is_key = head < 2 * KEY_HEADS;
    const uint width = is_key ? KEY_WIDTH : VALUE_WIDTH;
    const uint first = is_key ? head * KEY_WIDTH : KEY_CHANNELS + (head - 2 * KEY_HEADS) * VALUE_WIDTH;
    const uint member = lane % TEAM;
    const uint begin = tile.first + lane / TEAM * RUN;
    float4 taps[SHARE];
    // The last 4 rows of each channel; this window moves along the run.
    float4 window[SHARE];
    #pragma unroll
    for (uint i = 0; i < SHARE; i++) {
        const uint c = first + min(member + i * TEAM, width - 1);
        const uint at = min(begin, tile.end - 1);
        taps[i] = unpack(weight[c]);
        window[i].y = before(x, conv_state, rows, uint2(at, 3), c);
        window[i].z = before(x, conv_state, rows, uint2(at, 2), c);
        window[i].w = before(x, conv_state, rows, uint2(at, 1), c);
    }
    for (uint r = 0; r < RUN; r++) {
        // A team past the tile's last row repeats that row and stores nothing.
        const uint row = rows.row + min(begin + r, tile.end - 1);
        float values[SHARE];
        float squares = 0.0f;
        #pragma unroll
        for (uint i = 0; i < SHARE; i++) {
            const uint within = member + i * TEAM;
            window[i] = float4(window[i].yzw, x[row * STRIDE + first + min(within, width - 1)]);
            float sum = taps[i].x * window[i].x;
            sum = fma(taps[i].y, window[i].y, sum);
            sum = fma(taps[i].z, window[i].z, sum);
            sum = fma(taps[i].w, window[i].w, sum);
            values[i] = silu(sum);
            squares += within < width ? values[i] * values[i] : 0.0f;
        }
        float scale = 1.0f;
        if (is_key) {
            scale = rsqrt(team_sum(squares) + 1e-6f);
            scale *= head < KEY_HEADS ? rsqrt(float(KEY_WIDTH)) : 1.0f;
        }
        #pragma unroll
        for (uint i = 0; i < SHARE; i++) {
            const uint within = member + i * TEAM;
            if (within < width && begin + r < tile.end) {
                y[row * CHANNELS + first + within] = values[i] * scale;
            }
        }
    }
    // Only the first tile's workgroup reads conv_state, and only its head's channels.
    if (tile.first == 0) {
        threadgroup_barrier(mem_flags::mem_device);
        for (uint i = lane; i < min(rows.rows, 3u) * width; i += LANES) {
            const uint offset = rows.rows - 1 - i / width;
            const uint channel = first + i % width;
            conv_state[kept(rows, rows.position + offset, channel)] = x[(rows.row + offset) * STRIDE + channel];
        }
    }
}

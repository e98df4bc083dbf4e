// y[t, c] = silu(Σ_j w[c, j] · x[t − 3 + j, c]), per head q, k = l2norm(q)/√Dk, l2norm(k); gates[t] = −exp(a_log)·softplus(a + dt_bias), sigmoid(b)
// x [T, STRIDE]: C channels, z, b, a; weight [C, 4], conv_state [slots, 4·C] by position mod 4, y [T, C], a_dt [2, Hv], gates [T, 2·Hv] with decays first
// one group a head and tile of one sequence's rows, a row to each TEAM of its lanes; behind the heads, one for the tile's gates
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<Quad_weight>;
@group(0) @binding(3) var<storage, read_write> conv_state: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read> a_dt: array<f32>;
@group(0) @binding(6) var<storage, read_write> gates: array<f32>;

const KEY_CHANNELS: u32 = 2u * KEY_HEADS * KEY_WIDTH;
const VALUES: u32 = VALUE_HEADS * VALUE_WIDTH;
const CHANNELS: u32 = KEY_CHANNELS + VALUES;
// After the channels come the gate z, b and a.
const STRIDE: u32 = CHANNELS + VALUES + 2u * VALUE_HEADS;
const TEAMS: u32 = LANES / TEAM;
// Channels of a head that a lane has: every TEAM-th.
const KEY_SHARE: u32 = (KEY_WIDTH + TEAM - 1u) / TEAM;
const VALUE_SHARE: u32 = (VALUE_WIDTH + TEAM - 1u) / TEAM;
const SHARE: u32 = max(KEY_SHARE, VALUE_SHARE);

// The index in conv_state of a channel at a position.
fn kept(slot: u32, position: u32, channel: u32) -> u32 {
    return (slot * 4u + position % 4u) * CHANNELS + channel;
}

// The convolution's input `back` rows before row `offset` of a span.
fn before(rows: Span, offset: u32, back: u32, channel: u32) -> f32 {
    if back <= offset {
        return x[(rows.row + offset - back) * STRIDE + channel];
    }
    if back - offset <= rows.position {
        return conv_state[kept(rows.slot, rows.position + offset - back, channel)];
    }
    return 0.0;
}

// Log decays and betas of a tile's rows.
fn store_gates(tile: Tile, lane: u32) {
    for (var i = lane; i < (tile.end - tile.first) * VALUE_HEADS; i += LANES) {
        let row = tile.span.row + tile.first + i / VALUE_HEADS;
        let head = i % VALUE_HEADS;
        let b = (row + 1u) * STRIDE - 2u * VALUE_HEADS + head;
        let a = x[b + VALUE_HEADS] + a_dt[VALUE_HEADS + head];
        gates[row * 2u * VALUE_HEADS + head] = -exp(a_dt[head]) * softplus(a);
        gates[(row * 2u + 1u) * VALUE_HEADS + head] = sigmoid(vec4(x[b])).x;
    }
}

@compute @workgroup_size(LANES)
fn gdn_conv(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let tile = tile_at(group.y);
    if tile.end == 0u {
        return;
    }
    if head == 2u * KEY_HEADS + VALUE_HEADS {
        store_gates(tile, lane);
        return;
    }
    let rows = tile.span;
    let is_key = head < 2u * KEY_HEADS;
    let width = select(VALUE_WIDTH, KEY_WIDTH, is_key);
    let first = select(KEY_CHANNELS + (head - 2u * KEY_HEADS) * VALUE_WIDTH, head * KEY_WIDTH, is_key);
    var taps: array<vec4<f32>, SHARE>;
    for (var i = 0u; i < SHARE; i++) {
        taps[i] = unpack_weight(weight[first + min(lane % TEAM + i * TEAM, width - 1u)]);
    }
    for (var base = 0u; base < TILE; base += TEAMS) {
        // A team past the tile's last row repeats that row and stores nothing.
        let offset = tile.first + base + lane / TEAM;
        let at = min(offset, tile.end - 1u);
        var values: array<f32, SHARE>;
        var squares = 0.0;
        for (var i = 0u; i < SHARE; i++) {
            let within = lane % TEAM + i * TEAM;
            let c = first + min(within, width - 1u);
            var sum = taps[i].x * before(rows, at, 3u, c);
            sum = fma(taps[i].y, before(rows, at, 2u, c), sum);
            sum = fma(taps[i].z, before(rows, at, 1u, c), sum);
            sum = fma(taps[i].w, x[(rows.row + at) * STRIDE + c], sum);
            values[i] = silu(vec4(sum)).x;
            squares += select(0.0, values[i] * values[i], within < width);
        }
        var scale = 1.0;
        if is_key {
            scale = inverseSqrt(team_sum(vec3(squares, 0.0, 0.0), lane).x + 1e-6);
            if head < KEY_HEADS {
                scale *= inverseSqrt(f32(KEY_WIDTH));
            }
        }
        for (var i = 0u; i < SHARE; i++) {
            let within = lane % TEAM + i * TEAM;
            if within < width && offset < tile.end {
                y[(rows.row + at) * CHANNELS + first + within] = values[i] * scale;
            }
        }
    }
    // Only the first tile's workgroup reads conv_state, and only its head's channels.
    if tile.first == 0u {
        storageBarrier();
        let newest = min(rows.rows, 3u);
        for (var i = lane; i < newest * width; i += LANES) {
            let offset = rows.rows - 1u - i / width;
            let channel = first + i % width;
            conv_state[kept(rows.slot, rows.position + offset, channel)] = x[(rows.row + offset) * STRIDE + channel];
        }
    }
}

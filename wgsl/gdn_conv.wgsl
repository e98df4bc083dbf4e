// y[t, c] = silu(Σ_j w[c, j] · x[t − 3 + j, c]); then per head q, k = l2norm(q)/√Dk, l2norm(k)
// x [T, STRIDE] with the C channels first, weight [C, 4], ring [slots, 4·C] by position mod 4, y [T, C]
// one group a head and tile of one sequence's rows; a lane keeps to its channel and carries the last 3 rows along
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<Quad_weight>;
@group(0) @binding(3) var<storage, read_write> ring: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const KEY_CHANNELS: u32 = 2u * KEY_HEADS * KEY_WIDTH;
const VALUES: u32 = VALUE_HEADS * VALUE_WIDTH;
const CHANNELS: u32 = KEY_CHANNELS + VALUES;
// Behind the channels lie the gate z, b and a.
const STRIDE: u32 = CHANNELS + VALUES + 2u * VALUE_HEADS;

// Where the ring keeps a channel at a position.
fn kept(slot: u32, position: u32, channel: u32) -> u32 {
    return (slot * 4u + position % 4u) * CHANNELS + channel;
}

// What the convolution sees `back` rows before row `offset` of a span, which is its first or a multiple of TILE.
fn before(rows: Span, offset: u32, back: u32, channel: u32) -> f32 {
    if back <= offset {
        return x[(rows.row + offset - back) * STRIDE + channel];
    }
    if back <= rows.position {
        return ring[kept(rows.slot, rows.position - back, channel)];
    }
    return 0.0;
}

@compute @workgroup_size(LANES)
fn gdn_conv(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let part = tile(group.y);
    if part.end == 0u {
        return;
    }
    let is_key = head < 2u * KEY_HEADS;
    let width = select(VALUE_WIDTH, KEY_WIDTH, is_key);
    let first = select(KEY_CHANNELS + (head - 2u * KEY_HEADS) * VALUE_WIDTH, head * KEY_WIDTH, is_key);
    // A lane past the head's width computes its last channel again, counts as zero in the norm and stores nothing.
    let inside = lane < width;
    let channel = first + min(lane, width - 1u);
    let rows = part.span;
    let taps = unpack_weight(weight[channel]);
    var window = vec4(
        0.0,
        before(rows, part.first, 3u, channel),
        before(rows, part.first, 2u, channel),
        before(rows, part.first, 1u, channel),
    );
    for (var offset = part.first; offset < part.end; offset++) {
        let row = rows.row + offset;
        window = vec4(window.yzw, x[row * STRIDE + channel]);
        let sum = fma(taps.w, window.w, fma(taps.z, window.z, fma(taps.y, window.y, taps.x * window.x)));
        var value = silu(vec4(sum)).x;
        if is_key {
            let squares = reduce_sum(select(0.0, value * value, inside), lane);
            value *= inverseSqrt(squares + 1e-6);
            if head < KEY_HEADS {
                value *= inverseSqrt(f32(KEY_WIDTH));
            }
        }
        if inside {
            y[row * CHANNELS + channel] = value;
        }
    }
    // Only the first tile's group has read the ring, and each lane its own channel of it.
    if part.first == 0u && inside {
        for (var offset = max(rows.rows, 3u) - 3u; offset < rows.rows; offset++) {
            ring[kept(rows.slot, rows.position + offset, channel)] = x[(rows.row + offset) * STRIDE + channel];
        }
    }
}

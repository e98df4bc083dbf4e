// q, k = rope(rms_norm(q)), rope(rms_norm(k)) per head; rope turns (x1, x2) into (x1·cos − x2·sin, x2·cos + x1·sin); keys[place] = k, values[place] = v
// tables [slots, MAX_PAGES], x [T, Hq·2·D + Hkv·2·D], norms [2, D] of q and k, rope [context, ROTARY] of (cos, sin), q [T, Hq·D], keys, values [pages·PAGE·Hkv, D]
// one group a head and row: query heads, then keys, then values; a lane takes every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> norms: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rope: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> keys: array<Quad_keys>;
@group(0) @binding(7) var<storage, read_write> values: array<Quad_values>;

struct Params {
    eps: f32,
}
@group(0) @binding(8) var<uniform> params: Params;

const QUADS: u32 = HEAD / 4u;
const HALF: u32 = ROTARY / 2u;

// The head after the norm's weight, without the common scale.
var<workgroup> weighted: array<f32, HEAD>;

// An element of the head after rope, without the common scale.
fn rotated(i: u32, angles: u32) -> f32 {
    if i >= ROTARY {
        return weighted[i];
    }
    let low = i < HALF;
    let angle = rope[angles + select(i - HALF, i, low)];
    let other = weighted[select(i - HALF, i + HALF, low)];
    return fma(weighted[i], angle.x, select(other, -other, low) * angle.y);
}

fn turned_quad(i: u32, angles: u32) -> vec4<f32> {
    let at = 4u * i;
    return vec4(rotated(at, angles), rotated(at + 1u, angles), rotated(at + 2u, angles), rotated(at + 3u, angles));
}

@compute @workgroup_size(LANES)
fn qk_norm_rope(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y;
    if row >= row_count() {
        return;
    }
    let position = position_of(row);
    let is_key = group.x >= Q_HEADS;
    let head = select(group.x, (group.x - Q_HEADS) % KV_HEADS, is_key);
    let kept = (place(span_of(row).slot, position) * KV_HEADS + head) * QUADS;
    // Each query head is followed by its gate.
    let within = select(2u * head, group.x + Q_HEADS, is_key);
    let first = (row * 2u * (Q_HEADS + KV_HEADS) + within) * QUADS;
    // The scale of an 8-bit head depends on the whole head, so it comes before the first store.
    var largest = 0u;
    if group.x >= Q_HEADS + KV_HEADS {
        for (var i = lane; i < QUADS * SCALED; i += LANES) {
            largest = max(largest, largest_of(x[first + i]));
        }
        let scale = head_scale(largest, lane);
        for (var i = lane; i < QUADS; i += LANES) {
            keep_values(kept + i, x[first + i], scale);
        }
        return;
    }
    var squares = vec4(0.0);
    for (var i = lane; i < QUADS; i += LANES) {
        let quad = x[first + i];
        let gained = quad * (1.0 + norms[select(0u, QUADS, is_key) + i]);
        squares = fma(quad, quad, squares);
        for (var j = 0u; j < 4u; j++) {
            weighted[4u * i + j] = gained[j];
        }
    }
    // All lanes have written before the sum is complete.
    let sum = reduce_sum((squares.x + squares.y) + (squares.z + squares.w), lane);
    let gain = inverseSqrt(sum / f32(HEAD) + params.eps);
    let angles = position * HALF;
    if !is_key {
        for (var i = lane; i < QUADS; i += LANES) {
            q[(row * Q_HEADS + head) * QUADS + i] = gain * turned_quad(i, angles);
        }
        return;
    }
    for (var i = lane; i < QUADS * SCALED; i += LANES) {
        largest = max(largest, largest_of(gain * turned_quad(i, angles)));
    }
    let scale = head_scale(largest, lane);
    for (var i = lane; i < QUADS; i += LANES) {
        keep_keys(kept + i, gain * turned_quad(i, angles), scale);
    }
}

// q, k = rope(rms_norm(q)), rope(rms_norm(k)) per head; rope turns (x1, x2) into (x1·cos − x2·sin, x2·cos + x1·sin)
// x [T, Hq·2·D + Hkv·2·D], q_norm, k_norm [1, D], rope [context, ROTARY] of (cos, sin), q [T, Hq·D], k [T, Hkv·D]
// one group a head and row, query heads first; a lane takes every LANES-th element
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> q_norm: array<Quad_q_norm>;
@group(0) @binding(3) var<storage, read> k_norm: array<Quad_k_norm>;
@group(0) @binding(4) var<storage, read> rope: array<f32>;
@group(0) @binding(5) var<storage, read_write> q: array<f32>;
@group(0) @binding(6) var<storage, read_write> k: array<f32>;

struct Params {
    eps: f32,
}
@group(0) @binding(7) var<uniform> params: Params;

const HALF: u32 = ROTARY / 2u;

// An element of the head that starts at `first`, normed but for the common scale.
fn weighted(first: u32, key: bool, i: u32) -> f32 {
    if key {
        return x[first + i] * (1.0 + unpack_k_norm(k_norm[i / 4u])[i % 4u]);
    }
    return x[first + i] * (1.0 + unpack_q_norm(q_norm[i / 4u])[i % 4u]);
}

@compute @workgroup_size(LANES)
fn qk_norm_rope(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y;
    if row >= live() {
        return;
    }
    let key = group.x >= Q_HEADS;
    let head = select(group.x, group.x - Q_HEADS, key);
    // Behind each query head lies its gate.
    let within = select(2u * head, 2u * Q_HEADS + head, key) * HEAD;
    let first = row * 2u * (Q_HEADS + KV_HEADS) * HEAD + within;
    var squares = 0.0;
    for (var i = lane; i < HEAD; i += LANES) {
        squares = fma(x[first + i], x[first + i], squares);
    }
    let scale = inverseSqrt(reduce_sum(squares, lane) / f32(HEAD) + params.eps);
    let angles = position_of(row) * ROTARY;
    for (var i = lane; i < HEAD; i += LANES) {
        var value = weighted(first, key, i) * scale;
        if i < ROTARY {
            let low = i < HALF;
            let other = weighted(first, key, select(i - HALF, i + HALF, low)) * scale;
            let angle = angles + 2u * select(i - HALF, i, low);
            value = fma(value, rope[angle], select(other, -other, low) * rope[angle + 1u]);
        }
        if key {
            k[(row * KV_HEADS + head) * HEAD + i] = value;
        } else {
            q[(row * Q_HEADS + head) * HEAD + i] = value;
        }
    }
}

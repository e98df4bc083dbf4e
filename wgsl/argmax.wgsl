// tokens[r] = the least i < limit with the largest logits[r, i]; 2³² − 1 where a logit is NaN or none is above −∞
// logits [S, WIDTH], tokens [S, 1]
// one group a row; a lane takes every LANES-th logit
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;

struct Params {
    limit: u32,
}
@group(0) @binding(3) var<uniform> params: Params;

const NONE: u32 = 0xffffffffu;
const INFINITY: u32 = 0x7f800000u;
const SIGN: u32 = 0x80000000u;
// Logits that a lane asks for before it compares the first of them.
const AHEAD: u32 = 4u;

var<workgroup> keys: array<u32, LANES>;
var<workgroup> ids: array<u32, LANES>;

// A key that orders as the value does, both zeros alike: 0 for −∞, all ones for NaN. Bits, because a driver may take
// for granted that there is no NaN.
fn key_of(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    let size = bits & ~SIGN;
    if size > INFINITY {
        return NONE;
    }
    return select(INFINITY + size, INFINITY - size, bits >= SIGN);
}

@compute @workgroup_size(LANES)
fn argmax(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= live() {
        return;
    }
    let first = row * WIDTH;
    var best = 0u;
    var id = NONE;
    for (var at = lane; at < params.limit; at += AHEAD * LANES) {
        var ahead: array<f32, AHEAD>;
        for (var i = 0u; i < AHEAD; i++) {
            ahead[i] = logits[first + min(at + i * LANES, params.limit - 1u)];
        }
        for (var i = 0u; i < AHEAD; i++) {
            let key = key_of(ahead[i]);
            if key > best {
                best = key;
                id = min(at + i * LANES, params.limit - 1u);
            }
        }
    }
    keys[lane] = best;
    ids[lane] = id;
    workgroupBarrier();
    for (var lanes = LANES; lanes > 1u;) {
        let half = (lanes + 1u) / 2u;
        if lane < lanes - half {
            let key = keys[lane + half];
            let other = ids[lane + half];
            if key > keys[lane] || (key == keys[lane] && other < ids[lane]) {
                keys[lane] = key;
                ids[lane] = other;
            }
        }
        workgroupBarrier();
        lanes = half;
    }
    if lane == 0u {
        tokens[row] = select(ids[0], NONE, keys[0] == NONE);
    }
}

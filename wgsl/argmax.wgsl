// leaders[r, p] = the largest key of logits[r, i] and the least such i, of part p of the logits below limit; NONE where none is above −∞
// logits [S, WIDTH], leaders [S, PARTS] of (key, id)
// one group for SLICE logits of a row; a lane takes every LANES-th
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> leaders: array<vec2<u32>>;

struct Params {
    limit: u32,
}
@group(0) @binding(3) var<uniform> params: Params;

const INFINITY: u32 = 0x7f800000u;
const SIGN: u32 = 0x80000000u;

// A key in the order of the values, with equal keys for both zeros: 0 for −∞, all ones for NaN. It is made of bits,
// because a driver may assume that there is no NaN.
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
    let row = group.y;
    if row >= row_count() {
        return;
    }
    let end = min((group.x + 1u) * SLICE, params.limit);
    var best = 0u;
    var id = NONE;
    for (var at = group.x * SLICE + lane; at < end; at += AHEAD * LANES) {
        // Past the end the last logit repeats, which changes nothing.
        #repeat i AHEAD
        let id_$i = min(at + $iu * LANES, end - 1u);
        let logit_$i = logits[row * WIDTH + id_$i];
        #end
        #repeat i AHEAD
        let key_$i = key_of(logit_$i);
        if key_$i > best {
            best = key_$i;
            id = id_$i;
        }
        #end
    }
    let found = leader(best, id, lane);
    if lane == 0u {
        leaders[row * PARTS + group.x] = found;
    }
}

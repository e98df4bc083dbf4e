// S ← exp(decay)·S; u = rate·(v − Sᵀk); S ← S + k uᵀ; o = Sᵀq, token after token; value head h uses key head h / (Hv/Hk)
// qkv [T, C] of q, k, v, gates [T, 2·Hv] of decays and rates, state [slots, Hv·Dk·Dv], o [T, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; a lane keeps one column of the state in registers
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;

const QUADS: u32 = KEY_WIDTH / 4u;
const CHANNELS: u32 = 2u * KEY_HEADS * KEY_WIDTH + VALUE_HEADS * VALUE_WIDTH;
// Tokens whose keys and queries are staged together.
const TOKENS: u32 = 8u;

var<workgroup> keys: array<vec4<f32>, TOKENS * QUADS>;
var<workgroup> queries: array<vec4<f32>, TOKENS * QUADS>;

// A lane's column of the state.
var<private> column: array<vec4<f32>, QUADS>;

// One token of the delta rule, its key and query staged from `at` on.
fn advance(at: u32, value: f32, decay: f32, rate: f32) -> f32 {
    var read = vec4(0.0);
    for (var i = 0u; i < QUADS; i++) {
        column[i] *= decay;
        read = fma(column[i], keys[at + i], read);
    }
    let u = rate * (value - ((read.x + read.y) + (read.z + read.w)));
    var out = vec4(0.0);
    for (var i = 0u; i < QUADS; i++) {
        column[i] = fma(keys[at + i], vec4(u), column[i]);
        out = fma(column[i], queries[at + i], out);
    }
    return (out.x + out.y) + (out.z + out.w);
}

@compute @workgroup_size(LANES)
fn gdn_scan(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    if group.z >= sequences() {
        return;
    }
    let rows = span(group.z);
    let n = group.y * COLUMNS + lane;
    let inside = n < VALUE_WIDTH;
    // A lane past the last column computes the last one again and stores nothing.
    let at = min(n, VALUE_WIDTH - 1u);
    let first = (rows.slot * VALUE_HEADS + head) * KEY_WIDTH * VALUE_WIDTH + at;
    if rows.position > 0u {
        for (var i = 0u; i < QUADS; i++) {
            let source = first + 4u * i * VALUE_WIDTH;
            column[i] = vec4(state[source], state[source + VALUE_WIDTH], state[source + 2u * VALUE_WIDTH], state[source + 3u * VALUE_WIDTH]);
        }
    }
    let query_from = head / (VALUE_HEADS / KEY_HEADS) * QUADS;
    let key_from = query_from + KEY_HEADS * QUADS;
    let value_from = 2u * KEY_HEADS * KEY_WIDTH + head * VALUE_WIDTH + at;
    for (var staged = 0u; staged < rows.rows; staged += TOKENS) {
        let tokens = min(TOKENS, rows.rows - staged);
        for (var i = lane; i < tokens * QUADS; i += LANES) {
            let source = (rows.row + staged + i / QUADS) * (CHANNELS / 4u) + i % QUADS;
            queries[i] = qkv[source + query_from];
            keys[i] = qkv[source + key_from];
        }
        workgroupBarrier();
        for (var token = 0u; token < tokens; token++) {
            let row = rows.row + staged + token;
            let value_at = row * CHANNELS + value_from;
            let gate = row * 2u * VALUE_HEADS + head;
            let out = advance(token * QUADS, qkv[value_at / 4u][value_at % 4u], exp(gates[gate]), gates[gate + VALUE_HEADS]);
            if inside {
                o[row * VALUE_HEADS * VALUE_WIDTH + head * VALUE_WIDTH + at] = out;
            }
        }
        workgroupBarrier();
    }
    if inside {
        for (var i = 0u; i < QUADS; i++) {
            let to = first + 4u * i * VALUE_WIDTH;
            state[to] = column[i].x;
            state[to + VALUE_WIDTH] = column[i].y;
            state[to + 2u * VALUE_WIDTH] = column[i].z;
            state[to + 3u * VALUE_WIDTH] = column[i].w;
        }
    }
}

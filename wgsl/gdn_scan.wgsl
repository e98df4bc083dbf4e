// S ← exp(decay)·S; u = beta·(v − Sᵀk); S ← S + k uᵀ; o = Sᵀq, token after token; value head h uses key head h / (Hv/Hk)
// qkv [T, C] of q, k, v, gates [T, 2·Hv] of decays and betas, state [slots, Hv·Dk·Dv], o [T, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; TEAM neighboring lanes keep a column in registers
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;

const CHANNELS: u32 = 2u * KEY_HEADS * KEY_WIDTH + VALUE_HEADS * VALUE_WIDTH;
const COLUMNS: u32 = LANES / TEAM;
const KEY_QUADS: u32 = KEY_WIDTH / 4u;
// A lane's part of the TOKENS tokens that are staged together.
const FETCHES: u32 = (TOKENS * KEY_QUADS + LANES - 1u) / LANES;
const VALUE_FETCHES: u32 = (TOKENS * COLUMNS + LANES - 1u) / LANES;

// Quads of a column that one lane keeps: every TEAM-th, so that a team reads neighbors.
const_assert SHARE * TEAM == KEY_QUADS && TOKENS <= LANES;

var<workgroup> keys: array<vec4<f32>, FETCHES * LANES>;
var<workgroup> queries: array<vec4<f32>, FETCHES * LANES>;
var<workgroup> values: array<f32, VALUE_FETCHES * LANES>;
// Decay and beta of each token.
var<workgroup> gate: array<vec2<f32>, LANES>;

// The lane's next loads, while the previous tokens are computed.
var<private> next_keys: array<vec4<f32>, FETCHES>;
var<private> next_queries: array<vec4<f32>, FETCHES>;
var<private> next_values: array<f32, VALUE_FETCHES>;
var<private> next_gate: vec2<f32>;

// Fetches the tokens from `offset` of the span on, and does not use them: a use would wait for the loads here.
fn fetch(rows: Span, offset: u32, group: vec3<u32>, lane: u32) {
    let query_from = group.x / SHARING % KEY_HEADS * KEY_QUADS;
    for (var i = 0u; i < FETCHES; i++) {
        let at = i * LANES + lane;
        let row = rows.row + min(offset + at / KEY_QUADS, rows.rows - 1u);
        let source = row * (CHANNELS / 4u) + query_from + at % KEY_QUADS;
        next_queries[i] = qkv[source];
        next_keys[i] = qkv[source + KEY_HEADS * KEY_QUADS];
    }
    for (var i = 0u; i < VALUE_FETCHES; i++) {
        let at = i * LANES + lane;
        let row = rows.row + min(offset + at / COLUMNS, rows.rows - 1u);
        let n = min(group.y * COLUMNS + at % COLUMNS, VALUE_WIDTH - 1u);
        let source = row * CHANNELS + 2u * KEY_HEADS * KEY_WIDTH + group.x * VALUE_WIDTH + n;
        next_values[i] = qkv[source / 4u][source % 4u];
    }
    let source = (rows.row + min(offset + lane, rows.rows - 1u)) * 2u * VALUE_HEADS + group.x;
    next_gate = vec2(gates[source], gates[source + VALUE_HEADS]);
}

// Stages `tokens` tokens. Past the last token keys are zero and decays one, which changes nothing.
fn stage(tokens: u32, lane: u32) {
    for (var i = 0u; i < FETCHES; i++) {
        let at = i * LANES + lane;
        keys[at] = select(vec4(0.0), next_keys[i], at / KEY_QUADS < tokens);
        queries[at] = next_queries[i];
    }
    for (var i = 0u; i < VALUE_FETCHES; i++) {
        values[i * LANES + lane] = next_values[i];
    }
    gate[lane] = select(vec2(1.0, 0.0), vec2(exp(next_gate.x), next_gate.y), lane < tokens);
}

fn total(quad: vec4<f32>) -> f32 {
    return (quad.x + quad.y) + (quad.z + quad.w);
}

@compute @workgroup_size(LANES)
fn gdn_scan(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if group.z >= sequences() {
        return;
    }
    let rows = span(group.z);
    if rows.rows == 0u {
        return;
    }
    let n = group.y * COLUMNS + lane / TEAM;
    // A team past the last column repeats that column and stores nothing.
    let at = min(n, VALUE_WIDTH - 1u);
    let first = (rows.slot * VALUE_HEADS + group.x) * KEY_WIDTH * VALUE_WIDTH + 4u * (lane % TEAM) * VALUE_WIDTH + at;
    fetch(rows, 0u, group, lane);
    #repeat i SHARE
    var column_$i = vec4(0.0);
    if rows.position > 0u {
        let source = first + 4u * $iu * TEAM * VALUE_WIDTH;
        column_$i = vec4(state[source], state[source + VALUE_WIDTH], state[source + 2u * VALUE_WIDTH], state[source + 3u * VALUE_WIDTH]);
    }
    #end
    let member = lane % TEAM;
    for (var staged = 0u; staged < rows.rows; staged += TOKENS) {
        stage(rows.rows - staged, lane);
        workgroupBarrier();
        fetch(rows, staged + TOKENS, group, lane);
        #repeat t TOKENS
        {
            let token = $tu;
            // With a = Sᵀk and b = Sᵀq of the state before a token, Sᵀq after it is decay·b + (k·q)·u: one exchange of sums
            // a token instead of two.
            var a = vec4(0.0);
            var b = vec4(0.0);
            var c = vec4(0.0);
            #repeat i SHARE
            let key_$i = keys[token * KEY_QUADS + $iu * TEAM + member];
            let query_$i = queries[token * KEY_QUADS + $iu * TEAM + member];
            a = fma(column_$i, key_$i, a);
            b = fma(column_$i, query_$i, b);
            c = fma(key_$i, query_$i, c);
            #end
            let sums = team_sum(vec3(total(a), total(b), total(c)), lane);
            let decay = gate[token].x;
            let u = gate[token].y * (values[token * COLUMNS + lane / TEAM] - decay * sums.x);
            #repeat i SHARE
            column_$i = fma(key_$i, vec4(u), decay * column_$i);
            #end
            if n < VALUE_WIDTH && member == 0u && staged + token < rows.rows {
                let row = rows.row + staged + token;
                o[row * VALUE_HEADS * VALUE_WIDTH + group.x * VALUE_WIDTH + n] = fma(decay, sums.y, sums.z * u);
            }
        }
        #end
        workgroupBarrier();
    }
    if n < VALUE_WIDTH {
        #repeat i SHARE
        let to_$i = first + 4u * $iu * TEAM * VALUE_WIDTH;
        state[to_$i] = column_$i.x;
        state[to_$i + VALUE_WIDTH] = column_$i.y;
        state[to_$i + 2u * VALUE_WIDTH] = column_$i.z;
        state[to_$i + 3u * VALUE_WIDTH] = column_$i.w;
        #end
    }
}

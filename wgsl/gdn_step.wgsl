// S ← exp(decay)·S; u = rate·(v − Sᵀk); S ← S + k uᵀ; o = Sᵀq, for one token; value head h uses key head h / (Hv/Hk)
// qkv [S, C] of q, k, v, gates [S, 2·Hv] of decays and rates, state [slots, Hv·Dk·Dv], o [S, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; TEAM lanes share a column and pass it through registers
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> o: array<f32>;

const COLUMNS: u32 = LANES / TEAM;
// Elements of a column that a member of the team keeps: every TEAM-th.
const OWN: u32 = (KEY_WIDTH + TEAM - 1u) / TEAM;
const CHANNELS: u32 = 2u * KEY_HEADS * KEY_WIDTH + VALUE_HEADS * VALUE_WIDTH;

var<workgroup> key: array<f32, OWN * TEAM>;
var<workgroup> query: array<f32, OWN * TEAM>;
var<workgroup> parts: array<f32, LANES>;

// The sum over a team's members, in their order. All lanes must call it.
fn team_sum(value: f32, lane: u32) -> f32 {
    parts[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var member = 0u; member < TEAM; member++) {
        sum += parts[member * COLUMNS + lane % COLUMNS];
    }
    workgroupBarrier();
    return sum;
}

@compute @workgroup_size(LANES)
fn gdn_step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    if group.z >= sequences() {
        return;
    }
    let rows = span(group.z);
    if rows.rows == 0u {
        return;
    }
    let n = group.y * COLUMNS + lane % COLUMNS;
    let member = lane / COLUMNS;
    let first = (rows.slot * VALUE_HEADS + head) * KEY_WIDTH * VALUE_WIDTH + n;
    let channels = rows.row * CHANNELS;
    let key_head = head / (VALUE_HEADS / KEY_HEADS);
    for (var i = lane; i < OWN * TEAM; i += LANES) {
        let inside = i < KEY_WIDTH;
        query[i] = select(0.0, qkv[channels + key_head * KEY_WIDTH + min(i, KEY_WIDTH - 1u)], inside);
        key[i] = select(0.0, qkv[channels + (KEY_HEADS + key_head) * KEY_WIDTH + min(i, KEY_WIDTH - 1u)], inside);
    }
    // Zero before a sequence's first token, past the last column and past the last element.
    var column: array<f32, OWN>;
    if rows.position > 0u && n < VALUE_WIDTH {
        for (var i = 0u; i < OWN; i++) {
            if i * TEAM + member < KEY_WIDTH {
                column[i] = state[first + (i * TEAM + member) * VALUE_WIDTH];
            }
        }
    }
    workgroupBarrier();
    let gate = rows.row * 2u * VALUE_HEADS + head;
    let decay = exp(gates[gate]);
    var read = 0.0;
    for (var i = 0u; i < OWN; i++) {
        column[i] *= decay;
        read = fma(column[i], key[i * TEAM + member], read);
    }
    let value = qkv[channels + 2u * KEY_HEADS * KEY_WIDTH + head * VALUE_WIDTH + min(n, VALUE_WIDTH - 1u)];
    let u = gates[gate + VALUE_HEADS] * (value - team_sum(read, lane));
    var out = 0.0;
    for (var i = 0u; i < OWN; i++) {
        column[i] = fma(key[i * TEAM + member], u, column[i]);
        out = fma(column[i], query[i * TEAM + member], out);
    }
    out = team_sum(out, lane);
    if n >= VALUE_WIDTH {
        return;
    }
    for (var i = 0u; i < OWN; i++) {
        if i * TEAM + member < KEY_WIDTH {
            state[first + (i * TEAM + member) * VALUE_WIDTH] = column[i];
        }
    }
    if member == 0u {
        o[(rows.row * VALUE_HEADS + head) * VALUE_WIDTH + n] = out;
    }
}

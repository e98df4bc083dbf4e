// sums = Σ_s exp(score_s − m) · v_s, stats = (m, Σ_s exp(score_s − m)), m the largest score_s = q·k_s / √D, of a part of the context
// tables [slots, MAX_PAGES], q [S, Hq·D], keys, values [pages·PAGE·Hkv, D], sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2]
// one group a key head, split and row, for the GROUP query heads of the key head; each team of TEAM lanes takes KEYS keys at a time with a running softmax
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<Wide_q>;
@group(0) @binding(3) var<storage, read> keys: array<Wide_keys>;
@group(0) @binding(4) var<storage, read> values: array<Wide_values>;
@group(0) @binding(5) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;

const QUADS: u32 = HEAD / 4u;
const SCALE: f32 = inverseSqrt(f32(HEAD));
// Below any score, and finite: WGSL does not guarantee infinity.
const LOWEST: f32 = -3.0e38;
// A lane has one piece of each row; each of the TEAMS teams has whole rows.
const_assert TEAM * WIDE == QUADS && TEAM * TEAMS == LANES && GROUP * KV_HEADS == Q_HEADS && VALUES == GROUP * KEYS;

// Each team's largest score and sum of weights, for each query head.
var<workgroup> tops: array<vec2<f32>, GROUP * TEAMS>;
// Each team's sums for HEADS_AT_ONCE query heads. The order of quads lets neighboring lanes write neighboring quads.
var<workgroup> parts: array<vec4<f32>, HEADS_AT_ONCE * TEAMS * QUADS>;

@compute @workgroup_size(LANES)
fn attend_decode(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.z;
    let team = lane / TEAM;
    let member = lane % TEAM;
    // All loads without dependencies start here, also for rows that are not active.
    let active_rows = row_count();
    // A decode step has one row of each sequence.
    let own = span(row);
    let query = (row * Q_HEADS + group.x * GROUP) * TEAM + member;
    #repeat h GROUP
    let q_$h = load_q(query + $hu * TEAM);
    #end
    if row >= active_rows {
        return;
    }
    let context = own.position + 1u;
    let share = split_share(context);
    let first = group.y * share;
    if first >= context {
        return;
    }
    let end = min(first + share, context);
    #repeat h GROUP
    var largest_$h = LOWEST;
    var weight_$h = 0.0;
    var sum_$h = Piece();
    #end
    for (var base = first; base < end; base += TEAMS * KEYS) {
        // Past the end the last key repeats, with weight zero.
        #repeat k KEYS
        let at_$k = base + $ku * TEAMS + team;
        let piece_$k = (place(own.slot, min(at_$k, end - 1u)) * KV_HEADS + group.x) * TEAM + member;
        let key_$k = load_keys(piece_$k);
        #end
        #repeat k KEYS
        let value_$k = load_values(piece_$k);
        #end
        var scores: array<f32, VALUES>;
        #repeat h GROUP
        #repeat k KEYS
        scores[$hu * KEYS + $ku] = dot_piece(q_$h, key_$k, 0.0);
        #end
        #end
        team_sums(&scores, lane);
        #repeat h GROUP
        var row_max_$h = largest_$h;
        #repeat k KEYS
        let score_$h_$k = select(LOWEST, SCALE * scores[$hu * KEYS + $ku], at_$k < end);
        row_max_$h = max(row_max_$h, score_$h_$k);
        #end
        let fade_$h = exp(largest_$h - row_max_$h);
        largest_$h = row_max_$h;
        weight_$h *= fade_$h;
        #repeat q WIDE
        sum_$h[$q] *= fade_$h;
        #end
        #repeat k KEYS
        let weight_$h_$k = select(0.0, exp(score_$h_$k - row_max_$h), at_$k < end);
        weight_$h += weight_$h_$k;
        #repeat q WIDE
        sum_$h[$q] = fma(vec4(weight_$h_$k), value_$k[$q], sum_$h[$q]);
        #end
        #end
        #end
    }
    if member == 0u {
        #repeat h GROUP
        tops[$hu * TEAMS + team] = vec2(largest_$h, weight_$h);
        #end
    }
    let out = (row * Q_HEADS + group.x * GROUP) * SPLITS + group.y;
    for (var head = 0u; head < GROUP; head += HEADS_AT_ONCE) {
        #repeat h GROUP
        if $hu / HEADS_AT_ONCE * HEADS_AT_ONCE == head {
            #repeat q WIDE
            parts[($hu % HEADS_AT_ONCE * TEAMS + team) * QUADS + $qu * TEAM + member] = sum_$h[$q];
            #end
        }
        #end
        workgroupBarrier();
        put_together(head, out, lane);
        if head + HEADS_AT_ONCE < GROUP {
            workgroupBarrier();
        }
    }
}

// Adds the sums of all teams for the heads from `first` on. Each lane takes one quad after another.
fn put_together(first: u32, out: u32, lane: u32) {
    for (var at = lane; at < min(HEADS_AT_ONCE, GROUP - first) * QUADS; at += LANES) {
        let head = first + at / QUADS;
        let place = at % QUADS;
        #repeat t TEAMS
        let team_$t = tops[head * TEAMS + $tu];
        let part_$t = parts[(at / QUADS * TEAMS + $tu) * QUADS + place];
        #end
        var top = LOWEST;
        #repeat t TEAMS
        top = max(top, team_$t.x);
        #end
        var total = vec4(0.0);
        var weight = 0.0;
        #repeat t TEAMS
        let scale_$t = exp(team_$t.x - top);
        weight = fma(scale_$t, team_$t.y, weight);
        total = fma(vec4(scale_$t), part_$t, total);
        #end
        sums[(out + head * SPLITS) * QUADS + place % TEAM * WIDE + place / TEAM] = total;
        if place == 0u {
            stats[out + head * SPLITS] = vec2(top, weight);
        }
    }
}

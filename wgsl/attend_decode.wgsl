// sums = Σ_s exp(score_s − m) · v_s, stats = (m, Σ_s exp(score_s − m)), m the largest score_s = q·k_s / √D, of a part of the context
// tables [slots, MAX_BLOCKS], q [S, Hq·D], keys, values [blocks·BLOCK·Hkv, D], sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2]
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
// Less than any score, and finite: WGSL promises no infinity.
const LOWEST: f32 = -3.0e38;
// A lane has one piece of each row, a team a whole row.
const TEAMS: u32 = LANES / TEAM;
const_assert TEAM * WIDE == QUADS && QUADS <= LANES && GROUP * KV_HEADS == Q_HEADS && VALUES == GROUP * KEYS;

// Of each query head, every team's largest score and sum of weights.
var<workgroup> tops: array<f32, GROUP * TEAMS>;
var<workgroup> weights: array<f32, GROUP * TEAMS>;
// Every team's sum for one query head.
var<workgroup> parts: array<vec4<f32>, TEAMS * QUADS>;

@compute @workgroup_size(LANES)
fn attend_decode(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.z;
    if row >= live() {
        return;
    }
    // A decode step has one row of each sequence.
    let own = span(row);
    let context = own.position + 1u;
    let share = split_share(context);
    let first = group.y * share;
    if first >= context {
        return;
    }
    let end = min(first + share, context);
    let team = lane / TEAM;
    let member = lane % TEAM;
    let query = (row * Q_HEADS + group.x * GROUP) * TEAM + member;
    #repeat h GROUP
    let q_$h = load_q(query + $hu * TEAM);
    var largest_$h = LOWEST;
    var weight_$h = 0.0;
    var sum_$h = Piece();
    #end
    for (var base = first; base < end; base += TEAMS * KEYS) {
        // Past the last key it is repeated, and weighs nothing.
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
        var most_$h = largest_$h;
        #repeat k KEYS
        let score_$h_$k = select(LOWEST, SCALE * scores[$hu * KEYS + $ku], at_$k < end);
        most_$h = max(most_$h, score_$h_$k);
        #end
        let fade_$h = exp(largest_$h - most_$h);
        largest_$h = most_$h;
        weight_$h *= fade_$h;
        #repeat q WIDE
        sum_$h[$q] *= fade_$h;
        #end
        #repeat k KEYS
        let weight_$h_$k = select(0.0, exp(score_$h_$k - most_$h), at_$k < end);
        weight_$h += weight_$h_$k;
        #repeat q WIDE
        sum_$h[$q] = fma(vec4(weight_$h_$k), value_$k[$q], sum_$h[$q]);
        #end
        #end
        #end
    }
    if member == 0u {
        #repeat h GROUP
        tops[$hu * TEAMS + team] = largest_$h;
        weights[$hu * TEAMS + team] = weight_$h;
        #end
    }
    workgroupBarrier();
    let out = (row * Q_HEADS + group.x * GROUP) * SPLITS + group.y;
    for (var head = 0u; head < GROUP; head++) {
        var largest = LOWEST;
        var sum = Piece();
        #repeat h GROUP
        if head == $hu {
            largest = largest_$h;
            sum = sum_$h;
        }
        #end
        var top = LOWEST;
        for (var other = 0u; other < TEAMS; other++) {
            top = max(top, tops[head * TEAMS + other]);
        }
        #repeat q WIDE
        parts[lane * WIDE + $qu] = exp(largest - top) * sum[$q];
        #end
        workgroupBarrier();
        if lane < QUADS {
            var total = vec4(0.0);
            var weight = 0.0;
            for (var other = 0u; other < TEAMS; other++) {
                total += parts[other * QUADS + lane];
                weight = fma(exp(tops[head * TEAMS + other] - top), weights[head * TEAMS + other], weight);
            }
            sums[(out + head * SPLITS) * QUADS + lane] = total;
            if lane == 0u {
                stats[out + head * SPLITS] = vec2(top, weight);
            }
        }
        workgroupBarrier();
    }
}

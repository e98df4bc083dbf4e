// sums = Σ_s exp(score_s − m) · v_s, stats = (m, Σ_s exp(score_s − m)), m the largest score_s = q·k_s / √D, of a part of the context
// tables [slots, MAX_BLOCKS], q [S, Hq·D], keys, values [blocks·BLOCK, Hkv·D], sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2]
// one group a key head, split and row, for all query heads of the key head; keys pass by in tiles with a running softmax
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<Quad_q>;
@group(0) @binding(3) var<storage, read> keys: array<Quad_keys>;
@group(0) @binding(4) var<storage, read> values: array<Quad_values>;
@group(0) @binding(5) var<storage, read_write> sums: array<Quad_sums>;
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;

const QUADS: u32 = HEAD / 4u;
const GROUP: u32 = Q_HEADS / KV_HEADS;
const SCALE: f32 = inverseSqrt(f32(HEAD));
// Less than any score, and finite: WGSL promises no infinity.
const LOWEST: f32 = -3.0e38;
const KEYS: u32 = 32u;

// For scores: TEAM lanes share a key, a lane has every TEAM-th of its quads.
const TEAM: u32 = LANES / KEYS;
// For weights: a lane has some pairs of query head and key.
const PAIRS: u32 = GROUP * KEYS;
const PAIRS_PER_LANE: u32 = (PAIRS + LANES - 1u) / LANES;
// For sums: a lane has one quad of the head for every PARTS-th key.
const PARTS: u32 = LANES / QUADS;
const_assert LANES % KEYS == 0u && LANES % QUADS == 0u && PARTS <= KEYS;

// Rows of the cache that hold a tile's keys.
var<workgroup> rows: array<u32, KEYS>;
// A lane's part of its key's products, for each query head.
var<workgroup> products: array<f32, GROUP * LANES>;
var<workgroup> scores: array<f32, PAIRS>;
var<workgroup> weights: array<f32, PAIRS>;
// What the sums so far are scaled by, as a larger score comes.
var<workgroup> scales: array<f32, GROUP>;
var<workgroup> quads: array<vec4<f32>, LANES>;

// This lane's part of the products of its key with all query heads.
fn multiply(row: u32, kv_head: u32, lane: u32) {
    var sum: array<vec4<f32>, GROUP>;
    let key = (rows[lane / TEAM] * KV_HEADS + kv_head) * QUADS;
    let query = (row * Q_HEADS + kv_head * GROUP) * QUADS;
    for (var quad = lane % TEAM; quad < QUADS; quad += TEAM) {
        let k = unpack_keys(keys[key + quad]);
        for (var head = 0u; head < GROUP; head++) {
            sum[head] = fma(unpack_q(q[query + head * QUADS + quad]), k, sum[head]);
        }
    }
    for (var head = 0u; head < GROUP; head++) {
        products[head * LANES + lane] = (sum[head].x + sum[head].y) + (sum[head].z + sum[head].w);
    }
}

// The score of a pair; LOWEST past the last of `count` keys.
fn score_of(pair: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var member = 0u; member < TEAM; member++) {
        sum += products[pair / KEYS * LANES + pair % KEYS * TEAM + member];
    }
    return select(LOWEST, sum * SCALE, pair % KEYS < count);
}

@compute @workgroup_size(LANES)
fn attend_decode(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let kv_head = group.x;
    let row = group.z;
    if row >= live() {
        return;
    }
    let slot = span_of(row).slot;
    let context = position_of(row) + 1u;
    let share = (context + SPLITS - 1u) / SPLITS;
    let first = min(group.y * share, context);
    let end = min((group.y + 1u) * share, context);
    let quad = lane % QUADS;
    let part = lane / QUADS;
    var sum: array<vec4<f32>, GROUP>;
    // Of this lane's pairs: the head's largest score so far, and what this key's lane adds to the sum of weights.
    var largest: array<f32, PAIRS_PER_LANE>;
    var weight: array<f32, PAIRS_PER_LANE>;
    for (var i = 0u; i < PAIRS_PER_LANE; i++) {
        largest[i] = LOWEST;
    }
    for (var base = first; base < end; base += KEYS) {
        let count = min(KEYS, end - base);
        // Past the last key it is repeated: its weight is zero, and what it is multiplied with must not be NaN.
        if lane < KEYS {
            rows[lane] = place(slot, min(base + lane, end - 1u));
        }
        workgroupBarrier();
        multiply(row, kv_head, lane);
        workgroupBarrier();
        for (var pair = lane; pair < PAIRS; pair += LANES) {
            scores[pair] = score_of(pair, count);
        }
        workgroupBarrier();
        for (var i = 0u; i < PAIRS_PER_LANE; i++) {
            let pair = lane + i * LANES;
            if pair < PAIRS {
                var most = largest[i];
                for (var key = 0u; key < KEYS; key++) {
                    most = max(most, scores[pair / KEYS * KEYS + key]);
                }
                let scale = exp(largest[i] - most);
                let own = select(0.0, exp(scores[pair] - most), pair % KEYS < count);
                weight[i] = fma(weight[i], scale, own);
                largest[i] = most;
                weights[pair] = own;
                if pair % KEYS == 0u {
                    scales[pair / KEYS] = scale;
                }
            }
        }
        workgroupBarrier();
        for (var head = 0u; head < GROUP; head++) {
            sum[head] *= scales[head];
        }
        for (var key = part; key < KEYS; key += PARTS) {
            let value = unpack_values(values[(rows[key] * KV_HEADS + kv_head) * QUADS + quad]);
            for (var head = 0u; head < GROUP; head++) {
                sum[head] = fma(vec4(weights[head * KEYS + key]), value, sum[head]);
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < PAIRS_PER_LANE; i++) {
        if lane + i * LANES < PAIRS {
            weights[lane + i * LANES] = weight[i];
        }
    }
    let out = (row * Q_HEADS + kv_head * GROUP) * SPLITS + group.y;
    for (var head = 0u; head < GROUP; head++) {
        quads[lane] = sum[head];
        workgroupBarrier();
        if part == 0u {
            var total = quads[quad];
            for (var other = 1u; other < PARTS; other++) {
                total += quads[other * QUADS + quad];
            }
            sums[(out + head * SPLITS) * QUADS + quad] = pack_sums(total);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < PAIRS_PER_LANE; i++) {
        let pair = lane + i * LANES;
        if pair < PAIRS && pair % KEYS == 0u {
            var total = 0.0;
            for (var key = 0u; key < KEYS; key++) {
                total += weights[pair + key];
            }
            stats[out + pair / KEYS * SPLITS] = vec2(largest[i], total);
        }
    }
}

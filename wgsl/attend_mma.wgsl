// out[t, h] = Σ_s softmax_s(q[t, h]·k[s] / √D) · v[s] · sigmoid(gate[t, h]), s ≤ position of t, over a paged cache
// tables [slots, MAX_PAGES], q [T, Hq·D], keys, values [pages·PAGE·Hkv, D], x [T, projected]: each gate behind its query, out [T, Hq·D]
// one group a query head and SIDE rows of one sequence; SIDE keys at a time pass by; a subgroup has 4·FRAGMENT columns of the head
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<Quad_q>;
@group(0) @binding(3) var<storage, read> keys: array<Quad_keys>;
@group(0) @binding(4) var<storage, read> values: array<Quad_values>;
@group(0) @binding(5) var<storage, read> x: array<Quad_x>;
@group(0) @binding(6) var<storage, read_write> out: array<Quad_out>;

const QUADS: u32 = HEAD / 4u;
const SUBGROUPS: u32 = HEAD / (4u * FRAGMENT);
const WIDTH: u32 = LANES / SUBGROUPS;
// Scores are powers of two: log2(e) / √D.
const SCALE: f32 = 1.4426950408889634 * inverseSqrt(f32(HEAD));
// Below any score, and finite: WGSL does not guarantee infinity.
const LOWEST: f32 = -3.0e38;
// A row's weights are relative to a reference. At first the largest is 2^FIRST_EXPONENT; the reference moves
// when a weight would exceed 2^MAX_EXPONENT.
// So f16 has digits for small weights, and sums are rarely rescaled.
const FIRST_EXPONENT: f32 = 6.0;
const MAX_EXPONENT: f32 = 14.0;
const_assert SIDE == 2u * FRAGMENT && TILE % SIDE == 0u && LANES % QUADS == 0u;

// The pitch of staged rows, weights and sums puts neighboring rows into different banks.
const PITCH: u32 = QUADS + 2u;
const SIDE_QUADS: u32 = SIDE / 4u;
const WEIGHT_PITCH: u32 = SIDE_QUADS + 2u;
const SUM_PITCH: u32 = SIDE_QUADS + 1u;
// Rows staged at once, the number of rounds, and rows that are neighbors in the cache.
const AT_ONCE: u32 = LANES / QUADS;
const ROUNDS: u32 = SIDE / AT_ONCE;
const RUN: u32 = min(PAGE, SIDE);
// Lanes that share a row's scores, and quads of scores per lane.
const SHARERS: u32 = min(LANES / SIDE, SIDE_QUADS);
const SHARE: u32 = SIDE_QUADS / SHARERS;

// Queries at first, then keys and values in turn.
var<workgroup> staged: array<vec4<f16>, SIDE * PITCH>;
var<workgroup> weights: array<vec4<f16>, SIDE * WEIGHT_PITCH>;
// Of each subgroup: its columns' part of the scores; later the sums that it rescales or stores.
var<workgroup> sums: array<vec4<f32>, SUBGROUPS * SIDE * SUM_PITCH>;
var<workgroup> factors: array<f32, SIDE>;
var<workgroup> needs_rescale: atomic<u32>;

// A lane's next quads of keys or values to stage; both have one type.
var<private> ahead: array<Fetch_keys, ROUNDS>;
// Of this lane's row.
var<private> reference: f32 = LOWEST;
var<private> total: f32;

// The row of the cache where a run of positions starts. Past the end the last run repeats.
fn start_of(tile: Tile, position: u32, last: u32) -> u32 {
    return place(tile.span.slot, min(position, last) / RUN * RUN);
}

fn fetch_key_tile(tile: Tile, kv_head: u32, base: u32, last: u32, lane: u32) {
    for (var run = 0u; run < SIDE / RUN; run++) {
        let start = start_of(tile, base + run * RUN, last) + lane / QUADS;
        for (var i = 0u; i < RUN / AT_ONCE; i++) {
            let row = start + i * AT_ONCE;
            ahead[run * (RUN / AT_ONCE) + i] = fetch_keys((row * KV_HEADS + kv_head) * QUADS + lane % QUADS);
        }
    }
}

// Past the last position there may be NaN, and zero times NaN is NaN.
fn fetch_value_tile(tile: Tile, kv_head: u32, base: u32, last: u32, lane: u32) {
    for (var run = 0u; run < SIDE / RUN; run++) {
        let start = start_of(tile, base + run * RUN, last) + lane / QUADS;
        for (var i = 0u; i < RUN / AT_ONCE; i++) {
            let row = start + i * AT_ONCE;
            let value = fetch_values((row * KV_HEADS + kv_head) * QUADS + lane % QUADS);
            let known = base + run * RUN + i * AT_ONCE + lane / QUADS <= last;
            ahead[run * (RUN / AT_ONCE) + i] = select(Fetch_values(), value, known);
        }
    }
}

fn stage(lane: u32) {
    for (var i = 0u; i < ROUNDS; i++) {
        staged[(lane / QUADS + i * AT_ONCE) * PITCH + lane % QUADS] = halves_keys(ahead[i])[0];
    }
}

// Turns scores into weights, for this lane's share of a row at a position.
fn weigh(base: u32, position: u32, lane: u32) {
    let row = lane / SHARERS % SIDE;
    let first = lane % SHARERS * SHARE;
    var scores: array<vec4<f32>, SHARE>;
    var row_max = LOWEST;
    for (var i = 0u; i < SHARE; i++) {
        var score = sums[row * SUM_PITCH + first + i];
        for (var subgroup = 1u; subgroup < SUBGROUPS; subgroup++) {
            score += sums[(subgroup * SIDE + row) * SUM_PITCH + first + i];
        }
        let visible = vec4(base + 4u * (first + i)) + vec4(0u, 1u, 2u, 3u) <= vec4(position);
        scores[i] = select(vec4(LOWEST), score * SCALE, visible);
        row_max = max(row_max, max(max(scores[i].x, scores[i].y), max(scores[i].z, scores[i].w)));
    }
    for (var distance = 1u; distance < SHARERS; distance *= 2u) {
        row_max = max(row_max, subgroupShuffleXor(row_max, distance));
    }
    var factor = 1.0;
    if row_max > reference + MAX_EXPONENT {
        // Before the first keys no sums need rescaling.
        if reference != LOWEST {
            atomicStore(&needs_rescale, 1u);
        }
        factor = exp2(reference - (row_max - FIRST_EXPONENT));
        reference = row_max - FIRST_EXPONENT;
    }
    var sum = vec4(0.0);
    for (var i = 0u; i < SHARE; i++) {
        let weight = vec4<f16>(exp2(scores[i] - reference));
        sum += vec4<f32>(weight);
        if lane < SIDE * SHARERS {
            weights[row * WEIGHT_PITCH + first + i] = weight;
        }
    }
    total = fma(total, factor, (sum.x + sum.y) + (sum.z + sum.w));
    if first == 0u && lane < SIDE * SHARERS {
        factors[row] = factor;
    }
}

// Divides the subgroup's saved sums by the sum of weights, applies the gate, and stores the rows that exist.
fn finish(tile: Tile, head: u32, first: u32, at: u32, column: u32, member: u32) {
    for (var i = member; i < SIDE * SIDE_QUADS; i += WIDTH) {
        let offset = first + i / SIDE_QUADS;
        if offset < tile.end {
            let row = tile.span.row + offset;
            let quad = column + i % SIDE_QUADS;
            let gate = x[(row * 2u * (Q_HEADS + KV_HEADS) + 2u * head + 1u) * QUADS + quad];
            let sum = sums[at + i / SIDE_QUADS * SUM_PITCH + i % SIDE_QUADS] / factors[i / SIDE_QUADS];
            out[(row * Q_HEADS + head) * QUADS + quad] = pack_out(sum * sigmoid(unpack_x(gate)));
        }
    }
}

@compute @workgroup_size(LANES)
fn attend_mma(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) member: u32,
) {
    // The last tiles of a sequence have the most keys and start first. The count is a step-buffer value, so it is known
    // to be uniform: matrix units need that.
    let strips = step[STEP_TILE_COUNT] * (TILE / SIDE);
    if group.y >= strips {
        return;
    }
    let index = strips - 1u - group.y;
    let tile = tile_at(index / (TILE / SIDE));
    let first = tile.first + index % (TILE / SIDE) * SIDE;
    let lane = subgroup * WIDTH + member;
    let head = group.x;
    let kv_head = head / (Q_HEADS / KV_HEADS);
    let last = tile.span.position + min(first + SIDE, tile.end) - 1u;
    // Tiles past the last row attend to no keys.
    let visible_keys = select(0u, last + 1u, first < tile.end);
    let position = min(tile.span.position + first + lane / SHARERS % SIDE, last);
    let column = subgroup * FRAGMENT;
    let own = subgroup * SIDE * SUM_PITCH;
    for (var i = 0u; i < ROUNDS; i++) {
        // Rows past the last repeat it.
        let row = tile.span.row + min(first + i * AT_ONCE + lane / QUADS, tile.end - 1u);
        let quad = vec4<f16>(unpack_q(q[(row * Q_HEADS + head) * QUADS + lane % QUADS]));
        staged[(lane / QUADS + i * AT_ONCE) * PITCH + lane % QUADS] = quad;
    }
    workgroupBarrier();
    let q0 = queries_at(column);
    let q1 = queries_at(column + FRAGMENT / 4u);
    let q2 = queries_at(column + FRAGMENT / 2u);
    let q3 = queries_at(column + FRAGMENT / 4u * 3u);
    var left = Block();
    var right = Block();
    fetch_key_tile(tile, kv_head, 0u, last, lane);
    for (var base = 0u; base < visible_keys; base += SIDE) {
        workgroupBarrier();
        stage(lane);
        fetch_value_tile(tile, kv_head, base, last, lane);
        if lane == 0u {
            atomicStore(&needs_rescale, 0u);
        }
        workgroupBarrier();
        var scores = multiply(q0, keys_at(column), Block());
        scores = multiply(q1, keys_at(column + FRAGMENT / 4u), scores);
        scores = multiply(q2, keys_at(column + FRAGMENT / 2u), scores);
        scores = multiply(q3, keys_at(column + FRAGMENT / 4u * 3u), scores);
        save(scores, own);
        workgroupBarrier();
        stage(lane);
        fetch_key_tile(tile, kv_head, base + SIDE, last, lane);
        weigh(base, position, lane);
        workgroupBarrier();
        if atomicLoad(&needs_rescale) != 0u {
            left = rescaled(left, own, member);
            right = rescaled(right, own, member);
        }
        let w0 = weights_at(0u);
        let w1 = weights_at(FRAGMENT / 4u);
        left = multiply(w0, values_at(column), left);
        left = multiply(w1, values_at(column + FRAGMENT * PITCH), left);
        right = multiply(w0, values_at(column + FRAGMENT / 2u), right);
        right = multiply(w1, values_at(column + FRAGMENT * PITCH + FRAGMENT / 2u), right);
    }
    for (var distance = 1u; distance < SHARERS; distance *= 2u) {
        total += subgroupShuffleXor(total, distance);
    }
    if lane % SHARERS == 0u && lane < SIDE * SHARERS {
        factors[lane / SHARERS] = total;
    }
    save(left, own);
    workgroupBarrier();
    finish(tile, head, first, own, column, member);
    workgroupBarrier();
    save(right, own);
    workgroupBarrier();
    finish(tile, head, first, own, column + SIDE_QUADS, member);
}

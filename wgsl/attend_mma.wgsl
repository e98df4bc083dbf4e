// out[t, h] = Σ_s softmax_s(q[t, h]·k[s] / √D) · v[s] · sigmoid(gate[t, h]), s ≤ position of t, over a paged cache
// tables [slots, MAX_BLOCKS], q [T, Hq·D], keys, values [blocks·BLOCK, Hkv·D], x [T, projected]: each gate behind its query, out [T, Hq·D]
// one group a query head and SIDE rows of one sequence; SIDE keys at a time pass by; a subgroup has 4·EDGE columns of the head
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<Quad_q>;
@group(0) @binding(3) var<storage, read> keys: array<Quad_keys>;
@group(0) @binding(4) var<storage, read> values: array<Quad_values>;
@group(0) @binding(5) var<storage, read> x: array<Quad_x>;
@group(0) @binding(6) var<storage, read_write> out: array<Quad_out>;

const QUADS: u32 = HEAD / 4u;
const WIDTH: u32 = LANES / TEAMS;
// Scores are powers of two: log2(e) / √D.
const SCALE: f32 = 1.4426950408889634 * inverseSqrt(f32(HEAD));
// Less than any score, and finite: WGSL promises no infinity.
const LOWEST: f32 = -3.0e38;
// A row's weights are relative to a reference that lets its largest be 2^FIRST; it moves when one would exceed 2^MOST.
// Half precision then has digits for small weights, and sums are rarely rescaled.
const FIRST: f32 = 6.0;
const MOST: f32 = 14.0;

// Staged rows, weights and sums have a pitch that puts neighbouring rows into different banks.
const PITCH: u32 = QUADS + 2u;
const SIDE_QUADS: u32 = SIDE / 4u;
const WEIGHT_PITCH: u32 = SIDE_QUADS + 2u;
const SUM_PITCH: u32 = SIDE_QUADS + 1u;
const EDGE_QUADS: u32 = EDGE / 4u;
// Rows staged at once, and rows that lie together in the cache: RUNS of ROUNDS rounds.
const AT_ONCE: u32 = LANES / QUADS;
const RUN: u32 = ROUNDS * AT_ONCE;
// Lanes that share a row's scores; each has SHARE quads of them.
const SHARERS: u32 = SIDE_QUADS / SHARE;
const_assert SIDE == 2u * EDGE && TILE % SIDE == 0u && TEAMS * EDGE == QUADS && BLOCK % RUN == 0u && RUNS * RUN == SIDE;

// Queries at first, then keys and values in turn.
var<workgroup> staged: array<vec4<f16>, SIDE * PITCH>;
var<workgroup> weights: array<vec4<f16>, SIDE * WEIGHT_PITCH>;
// Of each subgroup: its columns' part of the scores; later what it rescales or stores.
var<workgroup> sums: array<vec4<f32>, TEAMS * SIDE * SUM_PITCH>;
var<workgroup> factors: array<f32, SIDE>;
var<workgroup> moved: atomic<u32>;

// Of this lane's row.
var<private> reference: f32 = LOWEST;
var<private> total: f32;

// The row of the cache where a run of positions starts. Past the last one it is the last run.
fn start_of(part: Tile, position: u32, last: u32) -> u32 {
    return place(part.span.slot, min(position, last) / RUN * RUN);
}

// Scores become weights: of this lane's share of a row, whose position is given.
fn weigh(base: u32, position: u32, lane: u32) {
    let row = lane / SHARERS % SIDE;
    let first = lane % SHARERS * SHARE;
    var most = LOWEST;
    #repeat i SHARE
    var score_$i = vec4(0.0);
    #repeat t TEAMS
    score_$i += sums[($tu * SIDE + row) * SUM_PITCH + first + $iu];
    #end
    let seen_$i = vec4(base + 4u * (first + $iu)) + vec4(0u, 1u, 2u, 3u) <= vec4(position);
    score_$i = select(vec4(LOWEST), score_$i * SCALE, seen_$i);
    most = max(most, max(max(score_$i.x, score_$i.y), max(score_$i.z, score_$i.w)));
    #end
    for (var apart = 1u; apart < SHARERS; apart *= 2u) {
        most = max(most, subgroupShuffleXor(most, apart));
    }
    var factor = 1.0;
    if most > reference + MOST {
        // There is nothing to rescale where nothing was seen before.
        if reference != LOWEST {
            atomicStore(&moved, 1u);
        }
        factor = exp2(reference - (most - FIRST));
        reference = most - FIRST;
    }
    var sum = vec4(0.0);
    #repeat i SHARE
    let weight_$i = vec4<f16>(exp2(score_$i - reference));
    sum += vec4<f32>(weight_$i);
    if lane < SIDE * SHARERS {
        weights[row * WEIGHT_PITCH + first + $iu] = weight_$i;
    }
    #end
    total = fma(total, factor, (sum.x + sum.y) + (sum.z + sum.w));
    if first == 0u && lane < SIDE * SHARERS {
        factors[row] = factor;
    }
}

// Divides by the sum of weights, gates, and stores what the subgroup left at `own` of the rows that exist.
fn finish(part: Tile, head: u32, first: u32, own: u32, column: u32, member: u32) {
    for (var i = member; i < SIDE * SIDE_QUADS; i += WIDTH) {
        let offset = first + i / SIDE_QUADS;
        if offset < part.end {
            let row = part.span.row + offset;
            let quad = column + i % SIDE_QUADS;
            let gate = x[(row * 2u * (Q_HEADS + KV_HEADS) + 2u * head + 1u) * QUADS + quad];
            let sum = sums[own + i / SIDE_QUADS * SUM_PITCH + i % SIDE_QUADS] / factors[i / SIDE_QUADS];
            out[(row * Q_HEADS + head) * QUADS + quad] = pack_out(sum * sigmoid(unpack_x(gate)));
        }
    }
}

@compute @workgroup_size(LANES)
fn attend_mma(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(subgroup_id) team: u32,
    @builtin(subgroup_invocation_id) member: u32,
) {
    // Tiles with the most keys come last in a sequence and are started first. The count is that of the step itself, which
    // is known to be the same for all lanes: matrix units need that.
    let parts = step[2] * (TILE / SIDE);
    if group.y >= parts {
        return;
    }
    let index = parts - 1u - group.y;
    let part = tile(index / (TILE / SIDE));
    let first = part.first + index % (TILE / SIDE) * SIDE;
    let lane = team * WIDTH + member;
    let head = group.x;
    let last = part.span.position + min(first + SIDE, part.end) - 1u;
    // Past the last row there is nothing to attend to.
    let seen = select(0u, last + 1u, first < part.end);
    let position = min(part.span.position + first + lane / SHARERS % SIDE, last);
    // Where this lane stages, what it stages of a row of the cache, and what its subgroup multiplies and leaves.
    let to = lane / QUADS * PITCH + lane % QUADS;
    let source = head / (Q_HEADS / KV_HEADS) * QUADS + lane % QUADS;
    let column = team * EDGE;
    let own = team * SIDE * SUM_PITCH;
    let pitch = SUM_PITCH;
    #repeat r RUNS
    #repeat i ROUNDS
    // Rows past the last repeat it.
    let row_$r_$i = part.span.row + min(first + $ru * RUN + $iu * AT_ONCE + lane / QUADS, part.end - 1u);
    staged[to + ($ru * RUN + $iu * AT_ONCE) * PITCH] = vec4<f16>(unpack_q(q[(row_$r_$i * Q_HEADS + head) * QUADS + lane % QUADS]));
    #end
    #end
    workgroupBarrier();
    #repeat k 4
    #repeat i 2
    let query_at_$k_$i = $iu * EDGE * PITCH + column + $ku * EDGE_QUADS;
    let query_$k_$i = coopLoadT<Left>(&staged[query_at_$k_$i], PITCH);
    #end
    #end
    // SIDE rows and twice as many columns: in halves, and each of them as two by two squares.
    #repeat h 2
    #repeat i 2
    #repeat j 2
    var sum_$h_$i_$j = Sum();
    #end
    #end
    #end
    #repeat r RUNS
    let start_$r = start_of(part, $ru * RUN, last) + lane / QUADS;
    #repeat i ROUNDS
    var ahead_$r_$i = keys[(start_$r + $iu * AT_ONCE) * (KV_HEADS * QUADS) + source];
    #end
    #end
    for (var base = 0u; base < seen; base += SIDE) {
        workgroupBarrier();
        // Keys are staged, and values are on their way while scores are computed.
        #repeat r RUNS
        let values_$r = start_of(part, base + $ru * RUN, last) + lane / QUADS;
        #repeat i ROUNDS
        staged[to + ($ru * RUN + $iu * AT_ONCE) * PITCH] = ahead_$r_$i;
        ahead_$r_$i = values[(values_$r + $iu * AT_ONCE) * (KV_HEADS * QUADS) + source];
        #end
        #end
        if lane == 0u {
            atomicStore(&moved, 0u);
        }
        workgroupBarrier();
        #repeat i 2
        #repeat j 2
        var score_$i_$j = Sum();
        #end
        #end
        #repeat k 4
        #repeat j 2
        let key_at_$k_$j = $ju * EDGE * PITCH + column + $ku * EDGE_QUADS;
        let key_$k_$j = coopLoad<Right>(&staged[key_at_$k_$j], PITCH);
        #repeat i 2
        score_$i_$j = coopMultiplyAdd(query_$k_$i, key_$k_$j, score_$i_$j);
        #end
        #end
        #end
        #repeat i 2
        #repeat j 2
        let scores_$i_$j = score_$i_$j;
        let scores_at_$i_$j = own + $iu * EDGE * SUM_PITCH + $ju * EDGE_QUADS;
        coopStoreT(scores_$i_$j, &sums[scores_at_$i_$j], pitch);
        #end
        #end
        workgroupBarrier();
        // Values are staged, and the next keys are on their way while scores become weights. Past the last position
        // there may be NaN, which would outlive a weight of zero.
        #repeat r RUNS
        let keys_$r = start_of(part, base + SIDE + $ru * RUN, last) + lane / QUADS;
        #repeat i ROUNDS
        let known_$r_$i = base + $ru * RUN + $iu * AT_ONCE + lane / QUADS <= last;
        staged[to + ($ru * RUN + $iu * AT_ONCE) * PITCH] = select(vec4<f16>(), ahead_$r_$i, known_$r_$i);
        ahead_$r_$i = keys[(keys_$r + $iu * AT_ONCE) * (KV_HEADS * QUADS) + source];
        #end
        #end
        weigh(base, position, lane);
        workgroupBarrier();
        if atomicLoad(&moved) != 0u {
            #repeat h 2
            #repeat i 2
            #repeat j 2
            let old_$h_$i_$j = sum_$h_$i_$j;
            let at_$h_$i_$j = own + $iu * EDGE * SUM_PITCH + $ju * EDGE_QUADS;
            coopStoreT(old_$h_$i_$j, &sums[at_$h_$i_$j], pitch);
            #end
            #end
            workgroupBarrier();
            for (var i = member; i < SIDE * SIDE_QUADS; i += WIDTH) {
                sums[own + i / SIDE_QUADS * SUM_PITCH + i % SIDE_QUADS] *= factors[i / SIDE_QUADS];
            }
            workgroupBarrier();
            #repeat i 2
            #repeat j 2
            sum_$h_$i_$j = coopLoadT<Sum>(&sums[at_$h_$i_$j], SUM_PITCH);
            #end
            #end
            workgroupBarrier();
            #end
        }
        #repeat k 2
        #repeat i 2
        let weight_at_$k_$i = $iu * EDGE * WEIGHT_PITCH + $ku * EDGE_QUADS;
        let weight_$k_$i = coopLoadT<Left>(&weights[weight_at_$k_$i], WEIGHT_PITCH);
        #end
        #repeat h 2
        #repeat j 2
        let value_at_$k_$h_$j = $ku * EDGE * PITCH + column + $hu * SIDE_QUADS + $ju * EDGE_QUADS;
        let value_$k_$h_$j = coopLoadT<Right>(&staged[value_at_$k_$h_$j], PITCH);
        #repeat i 2
        sum_$h_$i_$j = coopMultiplyAdd(weight_$k_$i, value_$k_$h_$j, sum_$h_$i_$j);
        #end
        #end
        #end
        #end
    }
    for (var apart = 1u; apart < SHARERS; apart *= 2u) {
        total += subgroupShuffleXor(total, apart);
    }
    if lane % SHARERS == 0u && lane < SIDE * SHARERS {
        factors[lane / SHARERS] = total;
    }
    #repeat h 2
    #repeat i 2
    #repeat j 2
    let last_$h_$i_$j = sum_$h_$i_$j;
    let last_at_$h_$i_$j = own + $iu * EDGE * SUM_PITCH + $ju * EDGE_QUADS;
    coopStoreT(last_$h_$i_$j, &sums[last_at_$h_$i_$j], pitch);
    #end
    #end
    workgroupBarrier();
    finish(part, head, first, own, column + $hu * SIDE_QUADS, member);
    workgroupBarrier();
    #end
}

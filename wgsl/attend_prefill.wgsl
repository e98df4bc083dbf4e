// out[t, h] = Σ_s softmax_s(q[t, h]·k[s] / √D) · v[s] · sigmoid(gate[t, h]), s ≤ position of t, over a paged cache
// tables [slots, MAX_PAGES], q [T, Hq·D], keys, values [pages·PAGE·Hkv, D], x [T, projected]: each gate behind its query, out [T, Hq·D]
// one group a query head and tile of one sequence's rows; keys pass by in tiles with a running softmax
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<Quad_q>;
@group(0) @binding(3) var<storage, read> keys: array<Quad_keys>;
@group(0) @binding(4) var<storage, read> values: array<Quad_values>;
@group(0) @binding(5) var<storage, read> x: array<Quad_x>;
@group(0) @binding(6) var<storage, read_write> out: array<Quad_out>;

const QUADS: u32 = HEAD / 4u;
const SCALE: f32 = inverseSqrt(f32(HEAD));
// Below any score, and finite: WGSL does not guarantee infinity.
const LOWEST: f32 = -3.0e38;
// Key tiles start at multiples of KEYS, so a row's sums do not depend on its tile.
const KEYS: u32 = 32u;
const ROW_BLOCKS: u32 = TILE / 4u;
const_assert LANES == 128u && LANES % QUADS == 0u;

// For scores: a lane has 4 rows and 2 keys; q and k are staged in slices of the head.
const KEY_LANES: u32 = LANES / ROW_BLOCKS;
const SLICE_QUADS: u32 = min(8u, QUADS);
// One quad more than a slice, which puts neighboring rows into different banks.
const PITCH: u32 = SLICE_QUADS + 1u;
// Quads of queries, and of keys, that a lane stages of a slice.
const_assert FETCHES * LANES == TILE * SLICE_QUADS && KEYS == TILE;
// For sums: a lane has one quad of the head for some blocks of 4 rows.
const BLOCK_STEP: u32 = LANES / QUADS;
const_assert BLOCKS_PER_LANE == (ROW_BLOCKS + BLOCK_STEP - 1u) / BLOCK_STEP;

// Rows of the cache that hold a tile's keys.
var<workgroup> places: array<u32, KEYS>;
var<workgroup> q_slice: array<vec4<f32>, TILE * PITCH>;
var<workgroup> k_slice: array<vec4<f32>, KEYS * PITCH>;
// Each of these holds 4 rows at [..][row / 4].
var<workgroup> maxima: array<vec4<f32>, KEY_LANES * ROW_BLOCKS>;
var<workgroup> weights: array<vec4<f32>, KEYS * ROW_BLOCKS>;
var<workgroup> scales: array<vec4<f32>, ROW_BLOCKS>;

// The lane's next quads to stage.
#repeat i FETCHES
var<private> q_ahead_$i: vec4<f32>;
var<private> k_ahead_$i: vec4<f32>;
#end
// A lane's scores: 4 rows against 2 keys.
var<private> score_0: vec4<f32>;
var<private> score_1: vec4<f32>;
// A lane's sums: a quad for each row of its blocks, and the sums of their weights.
#repeat i BLOCKS_PER_LANE
#repeat j 4
var<private> sum_$i_$j: vec4<f32>;
#end
var<private> total_$i: vec4<f32>;
#end

// Fetches this lane's share of a slice of the tile's queries and keys. Rows past the tile's last repeat it.
fn fetch(tile: Tile, head: u32, slice: u32, lane: u32) {
    let kv_head = head / (Q_HEADS / KV_HEADS);
    let quad = slice * SLICE_QUADS + lane % SLICE_QUADS;
    #repeat i FETCHES
    let at_$i = lane / SLICE_QUADS + $iu * (LANES / SLICE_QUADS);
    let row_$i = tile.span.row + min(tile.first + at_$i, tile.end - 1u);
    q_ahead_$i = unpack_q(q[(row_$i * Q_HEADS + head) * QUADS + quad]);
    k_ahead_$i = quad_keys((places[at_$i] * KV_HEADS + kv_head) * QUADS + quad);
    #end
}

fn stage(lane: u32) {
    #repeat i FETCHES
    let at_$i = (lane / SLICE_QUADS + $iu * (LANES / SLICE_QUADS)) * PITCH + lane % SLICE_QUADS;
    q_slice[at_$i] = q_ahead_$i;
    k_slice[at_$i] = k_ahead_$i;
    #end
}

// Adds the staged slice's products to this lane's scores.
fn multiply(row_block: u32, key_lane: u32) {
    for (var quad = 0u; quad < SLICE_QUADS; quad++) {
        // Element by element of the quad, all 4 rows at once.
        let at = 4u * row_block * PITCH + quad;
        let rows = transpose(mat4x4(q_slice[at], q_slice[at + PITCH], q_slice[at + 2u * PITCH], q_slice[at + 3u * PITCH]));
        #repeat i 2
        let key_$i = k_slice[(key_lane + $iu * KEY_LANES) * PITCH + quad];
        score_$i = fma(rows[0], key_$i.xxxx, score_$i);
        score_$i = fma(rows[1], key_$i.yyyy, score_$i);
        score_$i = fma(rows[2], key_$i.zzzz, score_$i);
        score_$i = fma(rows[3], key_$i.wwww, score_$i);
        #end
    }
}

// Adds the tile's weighted values to this lane's sums.
fn accumulate(kv_head: u32, lane: u32) {
    let quad = lane % QUADS;
    #repeat i BLOCKS_PER_LANE
    let block_$i = min(lane / QUADS + $iu * BLOCK_STEP, ROW_BLOCKS - 1u);
    let scale_$i = scales[block_$i];
    total_$i *= scale_$i;
    #repeat j 4
    sum_$i_$j *= scale_$i[$j];
    #end
    #end
    #repeat j 4
    var ahead_$j = quad_values((places[$j] * KV_HEADS + kv_head) * QUADS + quad);
    #end
    for (var key = 0u; key < KEYS; key += 4u) {
        // The next values load while these are added.
        let next = min(key + 4u, KEYS - 4u);
        #repeat j 4
        let value_$j = ahead_$j;
        ahead_$j = quad_values((places[next + $ju] * KV_HEADS + kv_head) * QUADS + quad);
        #end
        #repeat i BLOCKS_PER_LANE
        #repeat j 4
        let weight_$i_$j = weights[(key + $ju) * ROW_BLOCKS + block_$i];
        total_$i += weight_$i_$j;
        #repeat k 4
        sum_$i_$k = fma(vec4(weight_$i_$j[$k]), value_$j, sum_$i_$k);
        #end
        #end
        #end
    }
}

// Divides by the sum of weights, applies the gate, and stores the rows that exist.
fn finish(tile: Tile, head: u32, lane: u32) {
    let quad = lane % QUADS;
    #repeat i BLOCKS_PER_LANE
    #repeat j 4
    let block_$i_$j = lane / QUADS + $iu * BLOCK_STEP;
    let offset_$i_$j = tile.first + 4u * block_$i_$j + $ju;
    if block_$i_$j < ROW_BLOCKS && offset_$i_$j < tile.end {
        let row = tile.span.row + offset_$i_$j;
        let gate = (row * 2u * (Q_HEADS + KV_HEADS) + 2u * head + 1u) * QUADS + quad;
        let gated = sum_$i_$j / total_$i[$j] * sigmoid(unpack_x(x[gate]));
        out[(row * Q_HEADS + head) * QUADS + quad] = pack_out(gated);
    }
    #end
    #end
}

@compute @workgroup_size(LANES)
fn attend_prefill(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let tile = tile_at(group.y);
    if tile.end == 0u {
        return;
    }
    let row_block = lane / KEY_LANES;
    let key_lane = lane % KEY_LANES;
    let kv_head = head / (Q_HEADS / KV_HEADS);
    let last = tile.span.position + tile.end - 1u;
    // Positions of this lane's 4 rows.
    let positions = min(vec4(tile.span.position + tile.first + 4u * row_block) + vec4(0u, 1u, 2u, 3u), vec4(last));
    var largest = vec4(LOWEST);
    for (var base = 0u; base <= last; base += KEYS) {
        // Past the end the last key repeats, with weight zero: zero times NaN would be NaN.
        if lane < KEYS {
            places[lane] = place(tile.span.slot, min(base + lane, last));
        }
        workgroupBarrier();
        fetch(tile, head, 0u, lane);
        score_0 = vec4(0.0);
        score_1 = vec4(0.0);
        for (var slice = 0u; slice < QUADS / SLICE_QUADS; slice++) {
            stage(lane);
            workgroupBarrier();
            // The next slice loads while this one is multiplied.
            if slice + 1u < QUADS / SLICE_QUADS {
                fetch(tile, head, slice + 1u, lane);
            }
            multiply(row_block, key_lane);
            workgroupBarrier();
        }
        let visible0 = vec4(base + key_lane) <= positions;
        let visible1 = vec4(base + key_lane + KEY_LANES) <= positions;
        let scaled0 = select(vec4(LOWEST), score_0 * SCALE, visible0);
        let scaled1 = select(vec4(LOWEST), score_1 * SCALE, visible1);
        maxima[key_lane * ROW_BLOCKS + row_block] = max(scaled0, scaled1);
        workgroupBarrier();
        var row_max = largest;
        for (var i = 0u; i < KEY_LANES; i++) {
            row_max = max(row_max, maxima[i * ROW_BLOCKS + row_block]);
        }
        // The factor is exactly 1 without a larger score: tiles beyond a row's position must change nothing.
        if key_lane == 0u {
            scales[row_block] = select(exp(largest - row_max), vec4(1.0), largest == row_max);
        }
        largest = row_max;
        weights[key_lane * ROW_BLOCKS + row_block] = select(vec4(0.0), exp(scaled0 - row_max), visible0);
        weights[(key_lane + KEY_LANES) * ROW_BLOCKS + row_block] = select(vec4(0.0), exp(scaled1 - row_max), visible1);
        workgroupBarrier();
        accumulate(kv_head, lane);
        workgroupBarrier();
    }
    finish(tile, head, lane);
}

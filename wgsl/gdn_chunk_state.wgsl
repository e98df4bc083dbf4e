// chunk after chunk: n = u + state_reads[..CHUNK]·S; o = state_reads[CHUNK..]·S + state_writes[Dk..]·n; S ← chunk_decay·S + state_writes[..Dk]·n
// of each chunk and value head state_reads [2·CHUNK, Dk], state_writes [Dk + CHUNK, CHUNK] f16, u [CHUNK, Dv], chunk_decay [1] f32; state [slots, Hv·Dk·Dv], o [T, Hv·Dv]
// one group a value head, COLUMNS columns of its state and sequence; a subgroup has every SUBGROUPS-th FRAGMENT rows of FRAGMENT columns
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> state_reads: array<Quad_state_reads>;
@group(0) @binding(2) var<storage, read> state_writes: array<Quad_state_writes>;
@group(0) @binding(3) var<storage, read> u: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> chunk_decay: array<f32>;
@group(0) @binding(5) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;

const KEY_QUADS: u32 = KEY_WIDTH / 4u;
const VALUE_QUADS: u32 = VALUE_WIDTH / 4u;
const QUADS: u32 = COLUMN_SUBGROUPS * FRAGMENT / 4u;
// The pitch of rows puts neighboring rows into different banks.
const PITCH: u32 = QUADS + 1u;
const HALF_PITCH: u32 = QUADS + 2u;
const_assert SUBGROUPS * FRAGMENT == CHUNK && KEY_FRAGMENTS * FRAGMENT == KEY_WIDTH && STATE_FRAGMENTS * CHUNK == KEY_WIDTH;
const_assert FETCHES * LANES == CHUNK * QUADS;

var<workgroup> kept: array<vec4<f32>, KEY_WIDTH * PITCH>;
// state_reads · S for n, later o.
var<workgroup> passing: array<vec4<f32>, CHUNK * PITCH>;
// The state as two f16, which have twice the digits of one, and n.
var<workgroup> high: array<vec4<f16>, KEY_WIDTH * HALF_PITCH>;
var<workgroup> low: array<vec4<f16>, KEY_WIDTH * HALF_PITCH>;
var<workgroup> news: array<vec4<f16>, CHUNK * HALF_PITCH>;

// The leading bits that fit an f16. Masked as bits, because compilers may remove a conversion to f16 and back.
fn leading(quad: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(quad) & vec4(0xffffe000u));
}

@compute @workgroup_size(LANES)
fn gdn_chunk_state(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
    // The condition is a step-buffer value, so it is known to be uniform: matrix units need that.
    if group.z >= step[STEP_SEQUENCE_COUNT] {
        return;
    }
    if step[STEP_SPANS + 4u * group.z + 1u] == 0u {
        return;
    }
    let rows = span(group.z);
    let head = group.x;
    let quad_from = group.y * QUADS;
    let state_from = (rows.slot * VALUE_HEADS + head) * KEY_WIDTH * VALUE_QUADS + quad_from;
    for (var i = lane; i < KEY_WIDTH * QUADS; i += LANES) {
        var quad = vec4(0.0);
        if rows.position > 0u {
            quad = state[state_from + i / QUADS * VALUE_QUADS + i % QUADS];
        }
        kept[i / QUADS * PITCH + i % QUADS] = quad;
    }
    let own_row = subgroup / COLUMN_SUBGROUPS * FRAGMENT;
    let own_quad = subgroup % COLUMN_SUBGROUPS * FRAGMENT / 4u;
    let own = own_row * PITCH + own_quad;
    let pitch = PITCH;
    let first = chunks_before(group.z);
    let chunks = chunks_of(rows);
    // A chunk's state_reads load before the previous chunk is done.
    let state_reads_from = (first * VALUE_HEADS + head) * 2u * CHUNK * KEY_QUADS + own_row * KEY_QUADS;
    #repeat k KEY_FRAGMENTS
    #repeat i 2
    let first_at_$k_$i = state_reads_from + $iu * CHUNK * KEY_QUADS + $ku * FRAGMENT / 4u;
    var read_$k_$i = coopLoadT<Left>(&state_reads[first_at_$k_$i], KEY_QUADS);
    #end
    #end
    var factor = chunk_decay[first * VALUE_HEADS + head];
    for (var index = 0u; index < chunks; index++) {
        let at = (first + index) * VALUE_HEADS + head;
        let state_writes_from = (at * (KEY_WIDTH + CHUNK) + own_row) * CHUNK_QUADS;
        #repeat i FETCHES
        let u_$i = u[(at * CHUNK + ($iu * LANES + lane) / QUADS) * VALUE_QUADS + quad_from + ($iu * LANES + lane) % QUADS];
        #end
        // The factors of n load while the state is multiplied.
        #repeat i STATE_FRAGMENTS
        #repeat k SUBGROUPS
        let write_at_$i_$k = state_writes_from + $iu * CHUNK * CHUNK_QUADS + $ku * FRAGMENT / 4u;
        let write_$i_$k = coopLoadT<Left>(&state_writes[write_at_$i_$k], CHUNK_QUADS);
        #end
        #end
        #repeat k SUBGROUPS
        let score_at_$k = state_writes_from + KEY_WIDTH * CHUNK_QUADS + $ku * FRAGMENT / 4u;
        let score_$k = coopLoadT<Left>(&state_writes[score_at_$k], CHUNK_QUADS);
        #end
        // A lane always has the same quads of the state, so it waits only for the products.
        for (var i = lane; i < KEY_WIDTH * QUADS; i += LANES) {
            let quad = kept[i / QUADS * PITCH + i % QUADS];
            let first_half = leading(quad);
            high[i / QUADS * HALF_PITCH + i % QUADS] = vec4<f16>(first_half);
            low[i / QUADS * HALF_PITCH + i % QUADS] = vec4<f16>(quad - first_half);
            kept[i / QUADS * PITCH + i % QUADS] = factor * quad;
        }
        workgroupBarrier();
        var passing_0 = Sum();
        var passing_1 = Sum();
        #repeat k KEY_FRAGMENTS
        let state_at_$k = $ku * FRAGMENT * HALF_PITCH + own_quad;
        let high_$k = coopLoadT<Right>(&high[state_at_$k], HALF_PITCH);
        let low_$k = coopLoadT<Right>(&low[state_at_$k], HALF_PITCH);
        #repeat i 2
        passing_$i = coopMultiplyAdd(read_$k_$i, high_$k, passing_$i);
        passing_$i = coopMultiplyAdd(read_$k_$i, low_$k, passing_$i);
        #end
        #end
        let read_of_state = passing_0;
        coopStoreT(read_of_state, &passing[own], pitch);
        // The state_reads of the next chunk.
        let next = min(index + 1u, chunks - 1u) * VALUE_HEADS;
        let state_reads_next = state_reads_from + next * 2u * CHUNK * KEY_QUADS;
        factor = chunk_decay[first * VALUE_HEADS + head + next];
        #repeat k KEY_FRAGMENTS
        #repeat i 2
        let next_at_$k_$i = state_reads_next + $iu * CHUNK * KEY_QUADS + $ku * FRAGMENT / 4u;
        read_$k_$i = coopLoadT<Left>(&state_reads[next_at_$k_$i], KEY_QUADS);
        #end
        #end
        workgroupBarrier();
        #repeat i FETCHES
        let place_$i = $iu * LANES + lane;
        news[place_$i / QUADS * HALF_PITCH + place_$i % QUADS] = vec4<f16>(u_$i + passing[place_$i / QUADS * PITCH + place_$i % QUADS]);
        #end
        workgroupBarrier();
        #repeat i STATE_FRAGMENTS
        let kept_at_$i = $iu * CHUNK * PITCH + own;
        var sum_$i = coopLoadT<Sum>(&kept[kept_at_$i], PITCH);
        #end
        #repeat k SUBGROUPS
        let news_at_$k = $ku * FRAGMENT * HALF_PITCH + own_quad;
        let news_$k = coopLoadT<Right>(&news[news_at_$k], HALF_PITCH);
        #repeat i STATE_FRAGMENTS
        sum_$i = coopMultiplyAdd(write_$i_$k, news_$k, sum_$i);
        #end
        passing_1 = coopMultiplyAdd(score_$k, news_$k, passing_1);
        #end
        #repeat i STATE_FRAGMENTS
        let sums_$i = sum_$i;
        coopStoreT(sums_$i, &kept[kept_at_$i], pitch);
        #end
        let read_by_queries = passing_1;
        coopStoreT(read_by_queries, &passing[own], pitch);
        workgroupBarrier();
        let chunk = chunk_of(rows, index);
        #repeat i FETCHES
        if place_$i / QUADS < chunk.rows {
            o[((chunk.row + place_$i / QUADS) * VALUE_HEADS + head) * VALUE_QUADS + quad_from + place_$i % QUADS] =
                passing[place_$i / QUADS * PITCH + place_$i % QUADS];
        }
        #end
    }
    for (var i = lane; i < KEY_WIDTH * QUADS; i += LANES) {
        state[state_from + i / QUADS * VALUE_QUADS + i % QUADS] = kept[i / QUADS * PITCH + i % QUADS];
    }
}

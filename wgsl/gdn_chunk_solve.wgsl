// state_reads = [−A⁻¹diag(β·eᶜ)K; diag(eᶜ)Q], state_writes = [(diag(e^(last − c))K)ᵀ; QKᵀ⊙D], u = A⁻¹diag(β)V, chunk_decay = e^last, A = I + tril(diag(β)KKᵀ⊙D, −1)
// qkv [T, C], gates [T, 2·Hv]; of each chunk and value head state_reads [2·CHUNK, Dk], state_writes [Dk + CHUNK, CHUNK] f16, u [CHUNK, Dv], chunk_decay [1] f32
// one group a value head and chunk; each of its SUBGROUPS subgroups has FRAGMENT rows of every product; D[t, s] = e^(c[t] − c[s]), s ≤ t
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> state_reads: array<Quad_state_reads>;
@group(0) @binding(4) var<storage, read_write> state_writes: array<Quad_state_writes>;
@group(0) @binding(5) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> chunk_decay: array<f32>;

const KEY_QUADS: u32 = KEY_WIDTH / 4u;
const VALUE_QUADS: u32 = VALUE_WIDTH / 4u;
const ROW_QUADS: u32 = 2u * KEY_HEADS * KEY_QUADS + VALUE_HEADS * VALUE_QUADS;
const SLICE_QUADS: u32 = SLICE_FRAGMENTS * FRAGMENT / 4u;
// The pitch of staged rows puts neighboring rows into different banks.
const PITCH: u32 = SLICE_QUADS + 2u;
const HALF_PITCH: u32 = CHUNK_QUADS + 2u;
const ITEMS: u32 = CHUNK * SLICE_QUADS;
// Row distance between two quads that a lane fetches.
const STRIDE: u32 = LANES / SLICE_QUADS;
const_assert SUBGROUPS * FRAGMENT == CHUNK && LANES >= CHUNK && PITCH <= HALF_PITCH && FETCHES * LANES == ITEMS;

var<workgroup> staged: array<vec4<f16>, CHUNK * PITCH>;
// Slices of queries at first, then A⁻¹.
var<workgroup> f16_words: array<vec4<f16>, CHUNK * HALF_PITCH>;
// Cumulative log decays and betas. Past the last token both are zero, so these tokens change nothing.
var<workgroup> logs: array<f32, CHUNK>;
var<workgroup> decays: array<f32, CHUNK>;
var<workgroup> betas: array<f32, CHUNK>;

// The smallest log decay: its exponential is zero. Smaller values would cost the sums digits that weak decays need.
const MIN_LOG_DECAY: f32 = -104.0;

// A quad of a row of the chunk. Past the last row it is zero.
fn quad_of(chunk: Chunk, row: u32, quad: u32) -> vec4<f32> {
    let source = qkv[(chunk.row + min(row, max(chunk.rows, 1u) - 1u)) * ROW_QUADS + quad];
    return select(vec4(0.0), source, row < chunk.rows);
}

// e^(c[t] − c[s]) for the s of a quad that are at most `last`; logarithms are subtracted and masked before the
// exponential.
fn decay_of(row: u32, quad: u32, last: vec4<bool>) -> vec4<f32> {
    let others = vec4(decays[4u * quad], decays[4u * quad + 1u], decays[4u * quad + 2u], decays[4u * quad + 3u]);
    return select(vec4(0.0), exp(select(vec4(0.0), vec4(decays[row]) - others, last)), last);
}

@compute @workgroup_size(LANES)
fn gdn_chunk_solve(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
    // Before code for matrix units, branch only on step-buffer values: one driver miscompiles branches on workgroup
    // values, even uniform ones.
    if group.y >= step[ROW_COUNT] / CHUNK + 2u * step[STEP_SEQUENCE_COUNT] {
        return;
    }
    let chunk = chunk_at(group.y);
    let head = group.x;
    let at = group.y * VALUE_HEADS + head;
    let query_from = head / SHARING % KEY_HEADS * KEY_QUADS;
    let key_from = query_from + KEY_HEADS * KEY_QUADS;
    let value_from = 2u * KEY_HEADS * KEY_QUADS + head * VALUE_QUADS;
    let own_quad = lane % SLICE_QUADS;
    #repeat i FETCHES
    let row_$i = lane / SLICE_QUADS + $iu * STRIDE;
    var key_$i = quad_of(chunk, row_$i, key_from + own_quad);
    var query_$i = quad_of(chunk, row_$i, query_from + own_quad);
    #end
    if lane < CHUNK {
        let gate = (chunk.row + min(lane, max(chunk.rows, 1u) - 1u)) * 2u * VALUE_HEADS + head;
        logs[lane] = select(0.0, max(gates[gate], MIN_LOG_DECAY), lane < chunk.rows);
        betas[lane] = select(0.0, gates[gate + VALUE_HEADS], lane < chunk.rows);
    }
    workgroupBarrier();
    if lane < CHUNK {
        var sum = 0.0;
        for (var i = 0u; i < CHUNK; i++) {
            sum += select(0.0, logs[i], i <= lane);
        }
        decays[lane] = sum;
    }
    workgroupBarrier();
    let last = decays[CHUNK - 1u];
    if lane == 0u {
        chunk_decay[at] = exp(last);
    }
    #repeat j SUBGROUPS
    var gram_$j = Sum();
    var score_$j = Sum();
    #end
    for (var slice = 0u; slice < KEY_QUADS; slice += SLICE_QUADS) {
        #repeat i FETCHES
        staged[row_$i * PITCH + own_quad] = vec4<f16>(key_$i);
        f16_words[row_$i * PITCH + own_quad] = vec4<f16>(query_$i);
        state_reads[(at * 2u * CHUNK + CHUNK + row_$i) * KEY_QUADS + slice + own_quad] = vec4<f16>(query_$i * exp(decays[row_$i]));
        #end
        workgroupBarrier();
        // The next slice loads while this one is multiplied. After the last slice, the first slice of keys loads again.
        let next = (slice + SLICE_QUADS) % KEY_QUADS + own_quad;
        #repeat i FETCHES
        key_$i = quad_of(chunk, row_$i, key_from + next);
        query_$i = quad_of(chunk, row_$i, query_from + next);
        #end
        // Keys become columns, 8 of them by 4 quads of tokens at a time. So loads and stores use whole sectors of
        // memory.
        for (var i = lane; i < ITEMS; i += LANES) {
            let key = i % 8u + i / 32u % (SLICE_QUADS / 2u) * 8u;
            let quad = i / 8u % 4u + i / (16u * SLICE_QUADS) * 4u;
            var column = vec4(0.0);
            #repeat c 4
            column[$c] = f32(staged[(4u * quad + $cu) * PITCH + key / 4u][key % 4u]) * exp(last - decays[4u * quad + $cu]);
            #end
            state_writes[(at * (KEY_WIDTH + CHUNK) + 4u * slice + key) * CHUNK_QUADS + quad] = vec4<f16>(column);
        }
        for (var k = 0u; k < SLICE_FRAGMENTS; k++) {
            let left_at = subgroup * FRAGMENT * PITCH + k * FRAGMENT / 4u;
            let key = coopLoadT<Left>(&staged[left_at], PITCH);
            let query = coopLoadT<Left>(&f16_words[left_at], PITCH);
            #repeat j SUBGROUPS
            let right_at_$j = $ju * FRAGMENT * PITCH + k * FRAGMENT / 4u;
            let right_$j = coopLoad<Right>(&staged[right_at_$j], PITCH);
            gram_$j = coopMultiplyAdd(key, right_$j, gram_$j);
            score_$j = coopMultiplyAdd(query, right_$j, score_$j);
            #end
        }
        workgroupBarrier();
    }
    let own = subgroup * FRAGMENT * TRIANGLE_PITCH;
    let pitch = TRIANGLE_PITCH;
    #repeat j SUBGROUPS
    let score_to_$j = own + $ju * FRAGMENT / 4u;
    let scores_$j = score_$j;
    coopStoreT(scores_$j, &triangle[score_to_$j], pitch);
    #end
    workgroupBarrier();
    for (var i = lane; i < CHUNK * CHUNK_QUADS; i += LANES) {
        let row = i / CHUNK_QUADS;
        let quad = i % CHUNK_QUADS;
        let visible = vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) <= vec4(row);
        let score = triangle[row * TRIANGLE_PITCH + quad] * decay_of(row, quad, visible);
        state_writes[(at * (KEY_WIDTH + CHUNK) + KEY_WIDTH + row) * CHUNK_QUADS + quad] = vec4<f16>(score);
    }
    workgroupBarrier();
    #repeat j SUBGROUPS
    let grams_$j = gram_$j;
    coopStoreT(grams_$j, &triangle[score_to_$j], pitch);
    #end
    workgroupBarrier();
    for (var i = lane; i < CHUNK * CHUNK_QUADS; i += LANES) {
        let row = i / CHUNK_QUADS;
        let quad = i % CHUNK_QUADS;
        let visible = vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) < vec4(row);
        triangle[row * TRIANGLE_PITCH + quad] *= betas[row] * decay_of(row, quad, visible);
    }
    workgroupBarrier();
    invert(lane);
    for (var i = lane; i < CHUNK * CHUNK_QUADS; i += LANES) {
        let row = i / CHUNK_QUADS;
        let quad = i % CHUNK_QUADS;
        let visible = vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) <= vec4(row);
        f16_words[row * HALF_PITCH + quad] = vec4<f16>(select(vec4(0.0), triangle[row * TRIANGLE_PITCH + quad], visible));
    }
    workgroupBarrier();
    #repeat k SUBGROUPS
    let left_at_$k = subgroup * FRAGMENT * HALF_PITCH + $ku * FRAGMENT / 4u;
    let left_$k = coopLoadT<Left>(&f16_words[left_at_$k], HALF_PITCH);
    #end
    // Keys, then values.
    for (var slice = 0u; slice < KEY_QUADS + VALUE_QUADS; slice += SLICE_QUADS) {
        let of_keys = slice < KEY_QUADS;
        #repeat i FETCHES
        let factor_$i = betas[row_$i] * select(1.0, -exp(decays[row_$i]), of_keys);
        staged[row_$i * PITCH + own_quad] = vec4<f16>(factor_$i * key_$i);
        #end
        workgroupBarrier();
        let next = min(slice + SLICE_QUADS, KEY_QUADS + VALUE_QUADS - SLICE_QUADS);
        let source = select(value_from + next - KEY_QUADS, key_from + next, next < KEY_QUADS) + own_quad;
        #repeat i FETCHES
        key_$i = quad_of(chunk, row_$i, source);
        #end
        #repeat j SLICE_FRAGMENTS
        var sum_$j = Sum();
        #end
        #repeat k SUBGROUPS
        #repeat j SLICE_FRAGMENTS
        let right_at_$k_$j = $ku * FRAGMENT * PITCH + $ju * FRAGMENT / 4u;
        let right_$k_$j = coopLoadT<Right>(&staged[right_at_$k_$j], PITCH);
        sum_$j = coopMultiplyAdd(left_$k, right_$k_$j, sum_$j);
        #end
        #end
        #repeat j SLICE_FRAGMENTS
        let sums_$j = sum_$j;
        let sum_to_$j = own + $ju * FRAGMENT / 4u;
        coopStoreT(sums_$j, &triangle[sum_to_$j], pitch);
        #end
        workgroupBarrier();
        for (var i = lane; i < ITEMS; i += LANES) {
            let row = i / SLICE_QUADS;
            let quad = slice + i % SLICE_QUADS;
            let sum = triangle[row * TRIANGLE_PITCH + i % SLICE_QUADS];
            if of_keys {
                state_reads[(at * 2u * CHUNK + row) * KEY_QUADS + quad] = vec4<f16>(sum);
            } else {
                u[(at * CHUNK + row) * VALUE_QUADS + quad - KEY_QUADS] = sum;
            }
        }
    }
}

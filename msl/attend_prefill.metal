// out[t, h] = Σ_s softmax_s(q[t, h]·k[s] / √D) · v[s] · sigmoid(gate[t, h]), s ≤ position of t, over a paged cache
// tables [slots, MAX_PAGES], q [T, Hq·D], keys, values [pages·PAGE·Hkv, D], x [T, projected]: each gate behind its query, out [T, Hq·D]
// one group a query head and tile of one sequence's rows; keys pass by in tiles with a running softmax
constant constexpr uint QUADS = HEAD / 4;
// Below any score, and finite.
constant constexpr float LOWEST = -3.0e38f;
// Key tiles start at multiples of KEYS, so a row's sums do not depend on its tile.
constant constexpr uint KEYS = 32;
constant constexpr uint ROW_BLOCKS = TILE / 4;
// For scores: a lane has 4 rows and 2 keys; q and k are staged in slices of the head.
constant constexpr uint KEY_LANES = LANES / ROW_BLOCKS;
constant constexpr uint SLICE_QUADS = QUADS < 8 ? QUADS : 8;
// One quad more than a slice, which puts neighboring rows into different banks.
constant constexpr uint PITCH = SLICE_QUADS + 1;
// Rows that the lanes stage at once.
constant constexpr uint AT_ONCE = LANES / SLICE_QUADS;
// For sums: a lane has one quad of the head for some blocks of 4 rows.
constant constexpr uint BLOCK_STEP = LANES / QUADS;
static_assert(2 * KEY_LANES == KEYS && KEYS == TILE && FETCHES * AT_ONCE == TILE, "lanes share out a tile of keys");
static_assert(BLOCKS_PER_LANE == (ROW_BLOCKS + BLOCK_STEP - 1) / BLOCK_STEP, "lanes share out the rows");

// The lane's next quads to stage.
struct Ahead {
    float4 queries[FETCHES];
    float4 keys[FETCHES];
};

// A lane's sums: a quad for each row of its blocks, and the sums of their weights.
struct Sums {
    float4 rows[BLOCKS_PER_LANE][4];
    float4 totals[BLOCKS_PER_LANE];
};

// Adds a staged slice's products to this lane's scores: 4 rows, from `q` on, against 2 keys, from `k` on.
inline void multiply(thread float4* scores, threadgroup const float4* q, threadgroup const float4* k) {
    for (uint quad = 0; quad < SLICE_QUADS; quad++) {
        const float4 rows[4] = {q[quad], q[PITCH + quad], q[2 * PITCH + quad], q[3 * PITCH + quad]};
        #pragma unroll
        for (uint i = 0; i < 2; i++) {
            const float4 key = k[i * KEY_LANES * PITCH + quad];
            // Element by element of the quad, all 4 rows at once.
            #pragma unroll
            for (uint e = 0; e < 4; e++) {
                scores[i] = fma(float4(rows[0][e], rows[1][e], rows[2][e], rows[3][e]), float4(key[e]), scores[i]);
            }
        }
    }
}

// Adds the weighted values of 4 keys to this lane's sums; `weights` are those of 4 rows at [key][row / 4].
inline void accumulate(thread Sums& sums, threadgroup const float4* weights, thread const float4* values, uint lane) {
    #pragma unroll
    for (uint i = 0; i < BLOCKS_PER_LANE; i++) {
        const uint block = min(lane / QUADS + i * BLOCK_STEP, ROW_BLOCKS - 1);
        #pragma unroll
        for (uint j = 0; j < 4; j++) {
            const float4 weight = weights[j * ROW_BLOCKS + block];
            sums.totals[i] += weight;
            #pragma unroll
            for (uint r = 0; r < 4; r++) {
                sums.rows[i][r] = fma(float4(weight[r]), values[j], sums.rows[i][r]);
            }
        }
    }
}

kernel void attend_prefill(
    device const uint* step [[buffer(0)]],
    device const uint* tables [[buffer(1)]],
    device const Quad_q* q [[buffer(2)]],
    device const Quad_keys* keys [[buffer(3)]],
    device const Quad_values* values [[buffer(4)]],
    device const Quad_x* x [[buffer(5)]],
    device Quad_out* out [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    // Rows of the cache that hold a tile's keys.
    threadgroup uint places[KEYS];
    threadgroup float4 q_slice[TILE * PITCH];
    threadgroup float4 k_slice[KEYS * PITCH];
    // Each of these holds 4 rows at [..][row / 4].
    threadgroup float4 weights[KEYS * ROW_BLOCKS];
    threadgroup float4 scales[ROW_BLOCKS];
    const uint head = group.x;
    const Tile tile = tile_at(step, group.y);
    if (tile.end == 0) {
        return;
    }
    const float scale = rsqrt(float(HEAD));
    const uint row_block = lane / KEY_LANES;
    const uint key_lane = lane % KEY_LANES;
    const uint kv_head = head / (Q_HEADS / KV_HEADS);
    const uint last = tile.span.position + tile.end - 1;
    // Positions of this lane's 4 rows.
    const uint4 positions = min(tile.span.position + tile.first + 4 * row_block + uint4(0, 1, 2, 3), uint4(last));
    float4 largest = LOWEST;
    Sums sums = {};
    for (uint base = 0; base <= last; base += KEYS) {
        // Past the end the last key repeats, with weight zero: zero times NaN would be NaN.
        if (lane < KEYS) {
            places[lane] = place(tables, tile.span.slot, min(base + lane, last));
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        float4 scores[2] = {0.0f, 0.0f};
        Ahead next;
        for (uint slice = 0; slice <= QUADS / SLICE_QUADS; slice++) {
            // The next slice loads while this one is multiplied.
            const uint quad = min(slice * SLICE_QUADS, QUADS - SLICE_QUADS) + lane % SLICE_QUADS;
            #pragma unroll
            for (uint i = 0; i < FETCHES; i++) {
                const uint at = lane / SLICE_QUADS + i * AT_ONCE;
                if (slice > 0) {
                    q_slice[at * PITCH + lane % SLICE_QUADS] = next.queries[i];
                    k_slice[at * PITCH + lane % SLICE_QUADS] = next.keys[i];
                }
                // Rows past the tile's last repeat it.
                const uint row = tile.span.row + min(tile.first + at, tile.end - 1);
                next.queries[i] = unpack(q[(row * Q_HEADS + head) * QUADS + quad]);
                next.keys[i] = quad_of(keys, (places[at] * KV_HEADS + kv_head) * QUADS + quad);
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
            if (slice > 0) {
                multiply(scores, q_slice + 4 * row_block * PITCH, k_slice + key_lane * PITCH);
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
        float4 row_max = largest;
        bool4 visible[2];
        #pragma unroll
        for (uint i = 0; i < 2; i++) {
            visible[i] = uint4(base + key_lane + i * KEY_LANES) <= positions;
            scores[i] = select(float4(LOWEST), scores[i] * scale, visible[i]);
            row_max = max(row_max, scores[i]);
        }
        #pragma unroll
        for (uint distance = 1; distance < KEY_LANES; distance *= 2) {
            row_max = max(row_max, simd_shuffle_xor(row_max, distance));
        }
        // The factor is exactly 1 without a larger score: tiles beyond a row's position must change nothing.
        if (key_lane == 0) {
            scales[row_block] = select(exp(largest - row_max), float4(1.0f), largest == row_max);
        }
        largest = row_max;
        #pragma unroll
        for (uint i = 0; i < 2; i++) {
            weights[(key_lane + i * KEY_LANES) * ROW_BLOCKS + row_block] = select(float4(0.0f), exp(scores[i] - row_max), visible[i]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        #pragma unroll
        for (uint i = 0; i < BLOCKS_PER_LANE; i++) {
            const float4 factors = scales[min(lane / QUADS + i * BLOCK_STEP, ROW_BLOCKS - 1)];
            sums.totals[i] *= factors;
            #pragma unroll
            for (uint r = 0; r < 4; r++) {
                sums.rows[i][r] *= factors[r];
            }
        }
        for (uint key = 0; key < KEYS; key += 4) {
            float4 quads[4];
            #pragma unroll
            for (uint j = 0; j < 4; j++) {
                quads[j] = quad_of(values, (places[key + j] * KV_HEADS + kv_head) * QUADS + lane % QUADS);
            }
            accumulate(sums, weights + key * ROW_BLOCKS, quads, lane);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    // Divides by the sum of weights, applies the gate, and stores the rows that exist.
    #pragma unroll
    for (uint i = 0; i < BLOCKS_PER_LANE; i++) {
        const uint block = lane / QUADS + i * BLOCK_STEP;
        #pragma unroll
        for (uint r = 0; r < 4; r++) {
            const uint offset = tile.first + 4 * block + r;
            if (block < ROW_BLOCKS && offset < tile.end) {
                const uint row = tile.span.row + offset;
                const uint quad = lane % QUADS;
                const float4 gate = unpack(x[(row * 2 * (Q_HEADS + KV_HEADS) + 2 * head + 1) * QUADS + quad]);
                const float4 sum = sums.rows[i][r] / sums.totals[i][r];
                out[(row * Q_HEADS + head) * QUADS + quad] = pack<Quad_out>(sum * sigmoid(gate));
            }
        }
    }
}

// sums = Σ_s exp(score_s − m) · v_s, stats = (m, Σ_s exp(score_s − m)), m the largest score_s = q·k_s / √D, of a part of the context
// tables [slots, MAX_PAGES], q [S, Hq·D], keys, values [pages·PAGE·Hkv, D], sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2]
// one group a key head, split and row, for the GROUP query heads of the key head; each team of TEAM lanes takes KEYS keys at a time with a running softmax
constant constexpr uint QUADS = HEAD / 4;
// Below any score, and finite, so that LOWEST − LOWEST is zero.
constant constexpr float LOWEST = -3.0e38f;
// Each of the TEAMS teams has whole rows, a lane has WIDE quads of a row.
static_assert(TEAM * WIDE == QUADS && TEAM * TEAMS == LANES && GROUP * KV_HEADS == Q_HEADS && VALUES == GROUP * KEYS, "shares");

// A lane's first quad, and the distance of its quads. With 8-bit heads its quads are 16 neighboring bytes.
constant constexpr uint FIRST = SCALED == 1 ? WIDE : 1;
constant constexpr uint DISTANCE = SCALED == 1 ? 1 : TEAM;

template <uint COUNT> struct Words;
template <> struct Words<2> {
    typedef uint2 type;
};
template <> struct Words<4> {
    typedef uint4 type;
};
typedef Words<WIDE>::type Codes;

// A lane's quad of keys or values, loaded and not yet unpacked.
typedef Held<Quad_keys>::type HeldKey;
typedef Held<Quad_values>::type HeldValue;

// A lane's quads of a row of the cache, from `at` on.
template <typename Q> inline void hold(thread Q* piece, device const Q* rows, uint at) {
    #pragma unroll
    for (uint w = 0; w < WIDE; w++) {
        piece[w] = rows[at + w * DISTANCE];
    }
}

template <uint WORDS, uint HEAD_QUADS>
inline void hold(thread ScaledBytes* piece, device const HeadBytes<WORDS, HEAD_QUADS>* rows, uint at) {
    const Codes words = *(device const Codes*)(rows + at);
    const float scale = as_type<float>(rows[WORDS + at / HEAD_QUADS].word);
    #pragma unroll
    for (uint w = 0; w < WIDE; w++) {
        piece[w] = ScaledBytes{words[w], scale};
    }
}

// A query head: the lane's quads, and its part of the softmax over the keys of its team so far.
struct Head {
    float4 query[WIDE];
    float4 sum[WIDE];
    float largest;
    float weight;
};

// Adds KEYS keys to the softmax of a head. Keys past the last one have weight zero, whatever `scores` and `values`
// hold.
inline void add_keys(thread Head& head, thread const float* scores, thread const HeldValue (*values)[WIDE], uint count) {
    float largest = head.largest;
    #pragma unroll
    for (uint k = 0; k < KEYS; k++) {
        largest = k < count ? max(largest, scores[k]) : largest;
    }
    const float fade = exp(head.largest - largest);
    head.largest = largest;
    head.weight *= fade;
    #pragma unroll
    for (uint w = 0; w < WIDE; w++) {
        head.sum[w] *= fade;
    }
    #pragma unroll
    for (uint k = 0; k < KEYS; k++) {
        const float weight = k < count ? exp(scores[k] - largest) : 0.0f;
        head.weight += weight;
        #pragma unroll
        for (uint w = 0; w < WIDE; w++) {
            head.sum[w] = fma(float4(weight), unpack(values[k][w]), head.sum[w]);
        }
    }
}

// A query head's sum and its statistics.
struct Total {
    float4 sum;
    float2 stat;
};

// Adds a quad of all teams' sums of a head.
inline Total put_together(threadgroup const float2* tops, threadgroup const float4* parts) {
    float top = LOWEST;
    #pragma unroll
    for (uint team = 0; team < TEAMS; team++) {
        top = max(top, tops[team].x);
    }
    Total total = {0.0f, float2(top, 0.0f)};
    #pragma unroll
    for (uint team = 0; team < TEAMS; team++) {
        const float scale = exp(tops[team].x - top);
        total.stat.y = fma(scale, tops[team].y, total.stat.y);
        total.sum = fma(float4(scale), parts[team * QUADS], total.sum);
    }
    return total;
}

kernel void attend_decode(
    device const uint* step [[buffer(0)]],
    device const uint* tables [[buffer(1)]],
    device const Quad_q* q [[buffer(2)]],
    device const Quad_keys* keys [[buffer(3)]],
    device const Quad_values* values [[buffer(4)]],
    device float4* sums [[buffer(5)]],
    device float2* stats [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float exchanged[SUMS_PARTS];
    // Each team's largest score and sum of weights, for each query head.
    threadgroup float2 tops[GROUP * TEAMS];
    // Each team's sums for HEADS_AT_ONCE query heads.
    threadgroup float4 parts[HEADS_AT_ONCE * TEAMS * QUADS];
    const uint row = group.z;
    // A decode step has one row of each sequence.
    const Span own = span(step, row);
    if (row >= row_count(step)) {
        return;
    }
    const uint context = own.position + 1;
    const uint share = split_share(context);
    const uint first = group.y * share;
    if (first >= context) {
        return;
    }
    const uint end = min(first + share, context);
    const uint team = lane / TEAM;
    const uint member = lane % TEAM;
    const uint query = row * Q_HEADS + group.x * GROUP;
    Head heads[GROUP];
    #pragma unroll
    for (uint h = 0; h < GROUP; h++) {
        heads[h].largest = LOWEST;
        heads[h].weight = 0.0f;
        #pragma unroll
        for (uint w = 0; w < WIDE; w++) {
            heads[h].query[w] = unpack(q[(query + h) * QUADS + member * FIRST + w * DISTANCE]) * rsqrt(float(HEAD));
            heads[h].sum[w] = 0.0f;
        }
    }
    // Every lane makes the same number of rounds. A team without a key repeats the last one.
    for (uint base = first; base < end; base += TEAMS * KEYS) {
        HeldKey key[KEYS][WIDE];
        HeldValue value[KEYS][WIDE];
        #pragma unroll
        for (uint k = 0; k < KEYS; k++) {
            const uint position = min(base + k * TEAMS + team, end - 1);
            const uint at = (place(tables, own.slot, position) * KV_HEADS + group.x) * QUADS + member * FIRST;
            hold(key[k], keys, at);
            hold(value[k], values, at);
        }
        float scores[VALUES];
        #pragma unroll
        for (uint h = 0; h < GROUP; h++) {
            #pragma unroll
            for (uint k = 0; k < KEYS; k++) {
                scores[h * KEYS + k] = 0.0f;
                #pragma unroll
                for (uint w = 0; w < WIDE; w++) {
                    scores[h * KEYS + k] = dot_quad(heads[h].query[w], unpack(key[k][w]), scores[h * KEYS + k]);
                }
            }
        }
        team_sums(scores, lane, exchanged);
        const uint left = end - min(base + team, end);
        #pragma unroll
        for (uint h = 0; h < GROUP; h++) {
            add_keys(heads[h], scores + h * KEYS, value, (left + TEAMS - 1) / TEAMS);
        }
    }
    #pragma unroll
    for (uint h = 0; h < GROUP; h++) {
        if (member == 0) {
            tops[h * TEAMS + team] = float2(heads[h].largest, heads[h].weight);
        }
    }
    #pragma unroll
    for (uint h = 0; h < GROUP; h++) {
        #pragma unroll
        for (uint w = 0; w < WIDE; w++) {
            parts[(h % HEADS_AT_ONCE * TEAMS + team) * QUADS + member * FIRST + w * DISTANCE] = heads[h].sum[w];
        }
        if (h % HEADS_AT_ONCE < HEADS_AT_ONCE - 1 && h < GROUP - 1) {
            continue;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint at = lane; at < (h % HEADS_AT_ONCE + 1) * QUADS; at += LANES) {
            const uint head = h / HEADS_AT_ONCE * HEADS_AT_ONCE + at / QUADS;
            const uint quad = at % QUADS;
            const Total total = put_together(tops + head * TEAMS, parts + at / QUADS * TEAMS * QUADS + quad);
            const uint out = (query + head) * SPLITS + group.y;
            sums[out * QUADS + quad] = total.sum;
            if (quad == 0) {
                stats[out] = total.stat;
            }
        }
        if (h < GROUP - 1) {
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
}

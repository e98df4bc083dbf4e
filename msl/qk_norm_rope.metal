// q, k = rope(rms_norm(q)), rope(rms_norm(k)) per head; rope turns (x1, x2) into (x1·cos − x2·sin, x2·cos + x1·sin); keys[place] = k, values[place] = v
// tables [slots, MAX_PAGES], x [T, Hq·2·D + Hkv·2·D], norms [2, D] of q and k, rope [context, ROTARY] of (cos, sin), q [T, Hq·D], keys, values [pages·PAGE·Hkv, D]
// one group a head and row: query heads, then keys, then values; a lane takes every LANES-th quad
struct Params {
    float eps;
};

constant constexpr uint QUADS = HEAD / 4;
constant constexpr uint HALF = ROTARY / 2;

// An element of a head after rope. `angles` are those of its position.
inline float rotated(threadgroup const float* head, device const float2* angles, uint i) {
    if (i >= ROTARY) {
        return head[i];
    }
    const bool low = i < HALF;
    const float2 angle = angles[low ? i : i - HALF];
    const float other = low ? -head[i + HALF] : head[i - HALF];
    return fma(head[i], angle.x, other * angle.y);
}

inline float4 turned_quad(threadgroup const float* head, device const float2* angles, uint i) {
    float4 quad;
    for (uint j = 0; j < 4; j++) {
        quad[j] = rotated(head, angles, 4 * i + j);
    }
    return quad;
}

kernel void qk_norm_rope(
    device const uint* step [[buffer(0)]],
    device const uint* tables [[buffer(1)]],
    device const float4* x [[buffer(2)]],
    device const float4* norms [[buffer(3)]],
    device const float2* rope [[buffer(4)]],
    device float4* q [[buffer(5)]],
    device Quad_keys* keys [[buffer(6)]],
    device Quad_values* values [[buffer(7)]],
    constant Params& params [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup float parts[REDUCE_PARTS];
    threadgroup uint largest_parts[HEADS_PARTS];
    // The head after the norm's weight, without the common scale.
    threadgroup float weighted[HEAD];
    const uint row = group.y;
    if (row >= row_count(step)) {
        return;
    }
    const uint position = position_of(step, row);
    const bool is_key = group.x >= Q_HEADS;
    const uint head = is_key ? (group.x - Q_HEADS) % KV_HEADS : group.x;
    const uint kept = (place(tables, span_of(step, row).slot, position) * KV_HEADS + head) * QUADS;
    // Each query head is followed by its gate.
    const uint within = is_key ? group.x + Q_HEADS : 2 * head;
    device const float4* own = x + (row * 2 * (Q_HEADS + KV_HEADS) + within) * QUADS;
    // The scale of an 8-bit head depends on the whole head, so it comes before the first store.
    uint largest = 0;
    if (group.x >= Q_HEADS + KV_HEADS) {
        for (uint i = lane; i < QUADS * SCALED; i += LANES) {
            largest = max(largest, largest_of(own[i]));
        }
        const uint scale = head_scale(largest, lane, largest_parts);
        for (uint i = lane; i < QUADS; i += LANES) {
            keep(values, kept + i, own[i], scale);
        }
        return;
    }
    float4 squares = 0.0f;
    for (uint i = lane; i < QUADS; i += LANES) {
        const float4 quad = own[i];
        const float4 gained = quad * (1.0f + norms[(is_key ? QUADS : 0) + i]);
        squares = fma(quad, quad, squares);
        for (uint j = 0; j < 4; j++) {
            weighted[4 * i + j] = gained[j];
        }
    }
    // All lanes have written before the sum is complete.
    const float sum = reduce_sum((squares.x + squares.y) + (squares.z + squares.w), lane, parts);
    const float gain = rsqrt(sum / float(HEAD) + params.eps);
    device const float2* angles = rope + position * HALF;
    if (!is_key) {
        for (uint i = lane; i < QUADS; i += LANES) {
            q[(row * Q_HEADS + head) * QUADS + i] = gain * turned_quad(weighted, angles, i);
        }
        return;
    }
    for (uint i = lane; i < QUADS * SCALED; i += LANES) {
        largest = max(largest, largest_of(gain * turned_quad(weighted, angles, i)));
    }
    const uint scale = head_scale(largest, lane, largest_parts);
    for (uint i = lane; i < QUADS; i += LANES) {
        keep(keys, kept + i, gain * turned_quad(weighted, angles, i), scale);
    }
}

// the COUNT largest logits[r, i] with i < limit, in no order; of equal ones the lower ids; NaN counts as the largest
// logits [S, WIDTH], ids, values [S, COUNT]: past the last logit id 2³² − 1 and value −∞
// one group a row: a radix search, 8 bits a round, for the least logit that belongs; then a sweep that collects
struct Params {
    uint limit;
};

constant constexpr uint NONE = 0xffffffff;
constant constexpr uint BINS = 256;
// Most logits fall into few bins. Lanes count in copies of the histogram, so that fewer lanes share a counter.
constant constexpr uint COPIES = 8;
// Logits that a lane loads before it uses the first one.
constant constexpr uint AHEAD = 8;
static_assert(LANES == BINS, "a lane for each digit");

// The order of logits: by value with NaN first, then the lower id.
inline ulong order_of(float value, uint id) {
    const uint bits = as_type<uint>(value);
    const uint key = bits >> 31 == 1 ? ~bits : bits | 0x80000000;
    return ulong((bits & 0x7fffffff) > 0x7f800000 ? NONE : key) << 32 | ~id;
}

// The orders of AHEAD logits from `first` on, every LANES-th. Past the end the last one repeats.
inline void look_ahead(device const float* logits, uint first, uint limit, thread ulong* orders) {
    #pragma unroll
    for (uint i = 0; i < AHEAD; i++) {
        const uint id = min(first + i * LANES, limit - 1);
        orders[i] = order_of(logits[id], id);
    }
}

kernel void top_k(
    device const uint* step [[buffer(0)]],
    device const float* logits [[buffer(1)]],
    device uint* ids [[buffer(2)]],
    device float* values [[buffer(3)]],
    constant Params& params [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup atomic_uint counts[BINS * COPIES];
    threadgroup uint above[LANES / SIMD];
    // The digit of the smallest logit of the top, the number of logits with that digit in the top, and their total
    // number.
    threadgroup uint3 found;
    threadgroup atomic_uint stored;
    const uint row = group.x;
    if (row >= row_count(step)) {
        return;
    }
    device const float* own = logits + row * WIDTH;
    if (lane == 0) {
        atomic_store_explicit(&stored, 0u, memory_order_relaxed);
    }
    // Zero is below every logit's order: up to COUNT logits all belong to the top.
    ulong threshold = 0;
    ulong orders[AHEAD];
    uint wanted = COUNT;
    // Lane 0 has the largest digit, the next lane the next one.
    const uint digit = BINS - 1 - lane;
    for (uint shift = 64; shift > 0 && params.limit > COUNT;) {
        shift -= 8;
        for (uint copy = 0; copy < COPIES; copy++) {
            atomic_store_explicit(&counts[copy * BINS + digit], 0u, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint first = lane; first < params.limit; first += AHEAD * LANES) {
            look_ahead(own, first, params.limit, orders);
            #pragma unroll
            for (uint i = 0; i < AHEAD; i++) {
                // If all earlier digits equal those of `threshold`, only the digit remains.
                const ulong rest = (orders[i] ^ threshold) >> shift;
                if (rest < BINS && first + i * LANES < params.limit) {
                    atomic_fetch_add_explicit(&counts[lane % COPIES * BINS + uint(rest)], 1u, memory_order_relaxed);
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        uint count = 0;
        for (uint copy = 0; copy < COPIES; copy++) {
            count += atomic_load_explicit(&counts[copy * BINS + digit], memory_order_relaxed);
        }
        // The number of logits with this digit or a larger one.
        uint sum = simd_prefix_inclusive_sum(count);
        if (lane % SIMD == SIMD - 1) {
            above[lane / SIMD] = sum;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint other = 0; other < lane / SIMD; other++) {
            sum += above[other];
        }
        if (sum >= wanted && sum - count < wanted) {
            found = uint3(digit, wanted - (sum - count), count);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        threshold |= ulong(found.x) << shift;
        wanted = found.y;
        if (found.y == found.z) {
            break;
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint first = lane; first < params.limit; first += AHEAD * LANES) {
        look_ahead(own, first, params.limit, orders);
        #pragma unroll
        for (uint i = 0; i < AHEAD; i++) {
            const uint id = first + i * LANES;
            if (orders[i] >= threshold && id < params.limit) {
                const uint at = row * COUNT + atomic_fetch_add_explicit(&stored, 1u, memory_order_relaxed);
                ids[at] = id;
                values[at] = own[id];
            }
        }
    }
    for (uint i = params.limit + lane; i < COUNT; i += LANES) {
        ids[row * COUNT + i] = NONE;
        values[row * COUNT + i] = -INFINITY;
    }
}

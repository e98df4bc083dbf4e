// state[to] = state[from], with pair = (from, to)
// pair [1, 2], state [slots, WIDTH]
// one group for 16 · LANES words; a lane copies every LANES-th of them
constant constexpr uint WORDS = 16;

kernel void copy_slot(
    device const uint* pair [[buffer(0)]],
    device float* state [[buffer(1)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    device const float* from = state + pair[0] * WIDTH;
    device float* to = state + pair[1] * WIDTH;
    const uint first = group.x * WORDS * LANES + lane;
    // All loads come before the first store: the compiler cannot know that the rows do not overlap.
    float words[WORDS];
    #pragma unroll
    for (uint i = 0; i < WORDS; i++) {
        words[i] = from[min(first + i * LANES, WIDTH - 1)];
    }
    #pragma unroll
    for (uint i = 0; i < WORDS; i++) {
        if (first + i * LANES < WIDTH) {
            to[first + i * LANES] = words[i];
        }
    }
}

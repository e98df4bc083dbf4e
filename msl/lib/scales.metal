// Scales of normalized rows: 1 / sqrt(mean(x²) + eps), from the sums of `dots` and `team_sums`. Needs both.

// The scale of each row. All lanes of the threadgroup must call it; `squares` has ROWS places.
inline void scales(thread const float* values, uint lane, float eps, threadgroup float* squares, thread float* scale) {
    if (SHARERS > 1) {
        if (lane % TEAM == 0 && lane / TEAM < SHARERS) {
            for (uint r = 0; r < ROWS / SHARERS; r++) {
                squares[r * SHARERS + lane / TEAM] = values[SQUARES + r];
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    #pragma unroll
    for (uint r = 0; r < ROWS; r++) {
        scale[r] = rsqrt((SHARERS > 1 ? squares[r] : values[SQUARES + r]) / float(K) + eps);
    }
}

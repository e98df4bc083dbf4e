// Products of ROWS rows with the SHARE columns of a team. Its TEAM lanes stride over K quad by quad, so that a SIMD
// group reads neighboring quads. A lane loads QUADS_AHEAD quads of each column before it uses the first. The kernel's
// operands have `input(r, at)` and `weight(j, at)`, quad `at` of row r and of column j.
// Where HAS_NORM is 1, weights are scaled by `gain(at)`, quad `at` of 1 + norm, and Σ x² of the rows follows the
// products. SHARERS teams share this sum: each team sums every SHARERS-th row.

constant constexpr uint QUADS = K / 4;
constant constexpr uint QUADS_AHEAD = AHEAD * WIDE;
// Where the sums of squares are.
constant constexpr uint SQUARES = ROWS * SHARE;

// Adds COUNT quads of each operand, every TEAM-th from `first` on.
template <uint COUNT, typename Operands>
inline void add_quads(thread const Operands& operands, uint first, uint sharer, thread float* sums) {
    float4 weights[COUNT][SHARE];
    #pragma unroll
    for (uint i = 0; i < COUNT; i++) {
        #pragma unroll
        for (uint j = 0; j < SHARE; j++) {
            weights[i][j] = operands.weight(j, first + i * TEAM);
        }
    }
    #pragma unroll
    for (uint i = 0; i < COUNT; i++) {
        if (HAS_NORM == 1) {
            const float4 gain = operands.gain(first + i * TEAM);
            #pragma unroll
            for (uint j = 0; j < SHARE; j++) {
                weights[i][j] *= gain;
            }
        }
        #pragma unroll
        for (uint r = 0; r < ROWS; r++) {
            const float4 quad = operands.input(r, first + i * TEAM);
            if (HAS_NORM == 1 && r % SHARERS == sharer) {
                sums[SQUARES + r / SHARERS] = dot_quad(quad, quad, sums[SQUARES + r / SHARERS]);
            }
            #pragma unroll
            for (uint j = 0; j < SHARE; j++) {
                sums[r * SHARE + j] = dot_quad(quad, weights[i][j], sums[r * SHARE + j]);
            }
        }
    }
}

// This lane's part of each sum: [row · SHARE + column], and [SQUARES + row / SHARERS] for the squares. The order of a row's
// sums does not depend on ROWS, SHARE, QUADS_AHEAD and SHARERS.
template <typename Operands>
inline void dots(thread const Operands& operands, uint lane, thread float* sums) {
    const uint sharer = lane / TEAM % SHARERS;
    #pragma unroll
    for (uint i = 0; i < VALUES; i++) {
        sums[i] = 0.0f;
    }
    uint at = lane % TEAM;
    for (; at + (QUADS_AHEAD - 1) * TEAM < QUADS; at += QUADS_AHEAD * TEAM) {
        add_quads<QUADS_AHEAD>(operands, at, sharer, sums);
    }
    for (; at < QUADS; at += TEAM) {
        add_quads<1>(operands, at, sharer, sums);
    }
}

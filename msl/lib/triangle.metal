// The inverse of a lower triangular matrix of CHUNK rows with ones on its diagonal, in threadgroup memory and in place.
// Substitution inverts diagonal blocks, then products join pairs: [A 0; B C]⁻¹ = [A⁻¹ 0; −C⁻¹ B A⁻¹ C⁻¹]. Needs the
// part `chunks`.

constant constexpr uint BLOCK_ROWS = 16;
constant constexpr uint BLOCK_QUADS = BLOCK_ROWS / 4;
constant constexpr uint TRIANGLE_PITCH = CHUNK_QUADS + 1;

// Row `row` of the inverse of a block on the diagonal. Substitution goes from right to left: known elements are
// subtracted.
inline void substitute(thread float4* x, threadgroup const float4* block, uint row) {
    #pragma unroll
    for (uint q = 0; q < BLOCK_QUADS; q++) {
        x[q] = select(float4(0.0f), float4(1.0f), uint4(row) == 4 * q + uint4(0, 1, 2, 3));
    }
    #pragma unroll
    for (uint i = 0; i < BLOCK_ROWS; i++) {
        const uint at = BLOCK_ROWS - 1 - i;
        const float known = x[at / 4][at % 4];
        #pragma unroll
        for (uint q = 0; q < BLOCK_QUADS; q++) {
            x[q] = fma(block[at * TRIANGLE_PITCH + q], float4(-known), x[q]);
        }
    }
}

// Σ of rows, each a quad at `rows`, with the elements of the quads `from`..`to` at `factors`.
inline float4 combine(threadgroup const float4* factors, threadgroup const float4* rows, uint from, uint to) {
    float4 sum = 0.0f;
    for (uint k = from; k < to; k++) {
        #pragma unroll
        for (uint e = 0; e < 4; e++) {
            sum = fma(float4(factors[k][e]), rows[(4 * k + e) * TRIANGLE_PITCH], sum);
        }
    }
    return sum;
}

// Inverts `triangle`, whose elements are strictly below the diagonal; the rest is zero before. After, the rest is zero
// in the blocks on the diagonal, and undefined to their right. All lanes of the threadgroup must call it, and see the
// result.
inline void invert(threadgroup float4* triangle, uint lane) {
    float4 x[BLOCK_QUADS];
    threadgroup float4* block = triangle + lane / BLOCK_ROWS * (BLOCK_ROWS * TRIANGLE_PITCH + BLOCK_QUADS);
    if (lane < CHUNK) {
        substitute(x, block, lane % BLOCK_ROWS);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    #pragma unroll
    for (uint q = 0; q < BLOCK_QUADS; q++) {
        if (lane < CHUNK) {
            block[lane % BLOCK_ROWS * TRIANGLE_PITCH + q] = x[q];
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint size = BLOCK_ROWS; size < CHUNK; size *= 2) {
        const uint quads = size / 4;
        // B·A⁻¹ takes the place where the inverse is zero: above the diagonal, to the right of A⁻¹.
        for (uint i = lane; i < CHUNK / 2 * quads; i += LANES) {
            threadgroup float4* pair = triangle + i / (size * quads) * (2 * size * TRIANGLE_PITCH + 2 * quads);
            const uint row = i / quads % size;
            const uint column = i % quads;
            pair[row * TRIANGLE_PITCH + quads + column] = combine(pair + (size + row) * TRIANGLE_PITCH, pair + column, column, quads);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = lane; i < CHUNK / 2 * quads; i += LANES) {
            threadgroup float4* pair = triangle + i / (size * quads) * (2 * size * TRIANGLE_PITCH + 2 * quads);
            const uint row = i / quads % size;
            const uint column = i % quads;
            threadgroup const float4* inverse = pair + (size + row) * TRIANGLE_PITCH + quads;
            pair[(size + row) * TRIANGLE_PITCH + column] = -combine(inverse, pair + quads + column, 0, row / 4 + 1);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
}

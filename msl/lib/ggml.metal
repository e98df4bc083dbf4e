// GGML's formats with codes of four or more bits: the places of a matrix's planes, and how codes become values. Like
// other codes, bits become the last digits of a float, which is exact.

// Words of matrices whose block words begin at word WORDS, and whose high bits begin at word HIGHS.
template <uint WORDS> struct Blocks4 {
    uint word;
};
template <uint WORDS> struct Supers4 {
    uint word;
};
template <uint WORDS, uint HIGHS> struct Supers5 {
    uint word;
};
template <uint WORDS, uint HIGHS> struct Supers6 {
    uint word;
};

// 16 for each set bit of bits 4 to 7.
inline float4 numbers_of_bits(uint word) {
    const uint4 codes = uint4(word) & uint4(0x10u, 0x20u, 0x40u, 0x80u);
    const float4 floats = as_type<float4>(codes | uint4(0x4b000000u, 0x4a800000u, 0x4a000000u, 0x49800000u));
    return floats - float4(8388608.0f, 4194304.0f, 2097152.0f, 1048576.0f);
}

// 16 times each of the 2-bit numbers in bits 4 to 11.
inline float4 numbers_of_pairs(uint word) {
    const uint4 codes = uint4(word) & uint4(0x30u, 0xc0u, 0x300u, 0xc00u);
    const float4 floats = as_type<float4>(codes | uint4(0x4b000000u, 0x4a000000u, 0x49000000u, 0x48000000u));
    return floats - float4(8388608.0f, 2097152.0f, 524288.0f, 131072.0f);
}

// The low bits of quad `at`.
template <typename W> inline float4 low_of(device const W* matrix, uint at) {
    const uint word = matrix[at / 2].word;
    return numbers_of_nibbles(at % 2 == 0 ? word << 4u : word >> 12u, 0.0f);
}

// Distance and minimum of the values of one of eight blocks of 32. Their scales are in the four words from `header` on.
// Six bits multiply an f16 for each. The last four blocks have their two highest bits beside the first blocks' six
// bits.
template <typename W> inline float2 terms_of(device const W* header, uint block) {
    const half2 units = as_type<half2>(header[0].word);
    const uint shift = block % 4 * 8;
    const uint2 own = uint2(header[1].word, header[2].word) >> shift;
    const uint both = header[3].word >> shift;
    const uint2 split = (uint2(both, both >> 4u) & 15u) | ((own >> 2u) & 48u);
    const uint2 factors = block < 4 ? own & 63u : split;
    return float2(float(units.x) * float(factors.x), -float(units.y) * float(factors.y));
}

template <uint WORDS> inline float4 quad_of(device const Blocks4<WORDS>* matrix, uint at) {
    return (low_of(matrix, at) - 8.0f) * half_of(matrix + WORDS, at / 8);
}

template <uint WORDS> inline float4 quad_of(device const Supers4<WORDS>* matrix, uint at) {
    const float2 terms = terms_of(matrix + WORDS + at / 64 * 4, at / 8 % 8);
    return fma(low_of(matrix, at), float4(terms.x), float4(terms.y));
}

template <uint WORDS, uint HIGHS> inline float4 quad_of(device const Supers5<WORDS, HIGHS>* matrix, uint at) {
    const float2 terms = terms_of(matrix + WORDS + at / 64 * 4, at / 8 % 8);
    const uint high = matrix[HIGHS + at / 8].word >> (at % 8 * 4) << 4u;
    return fma(low_of(matrix, at) + numbers_of_bits(high), float4(terms.x), float4(terms.y));
}

// Nine f16 for 64 quads: two signed bytes for each block, and the unit.
template <uint WORDS, uint HIGHS> inline float4 quad_of(device const Supers6<WORDS, HIGHS>* matrix, uint at) {
    const uint first = at / 64 * 9;
    const uint half_at = first + at / 8 % 8;
    const uint bytes = matrix[WORDS + half_at / 2].word >> (half_at % 2 * 16 + at % 8 / 4 * 8);
    const float scale = half_of(matrix + WORDS, first + 8) * float(int(bytes << 24u) >> 24);
    const uint high = matrix[HIGHS + at / 4].word >> (at % 4 * 8) << 4u;
    return (low_of(matrix, at) + numbers_of_pairs(high) - 32.0f) * scale;
}

// Heads in 8 bits: a signed byte for each element, element / scale rounded to nearest even, and a scale: the largest
// magnitude / 127, to 16 digits. A quotient rounded once lies on the same side of a tie as the exact quotient, since
// midpoints between codes are exact. Where SCALED is 0, heads have no scale.

constant constexpr uint HEADS_PARTS = (LANES + SIMD - 1) / SIMD;

// The bits of a quad's largest magnitude. The bits of NaN are the largest.
inline uint largest_of(float4 quad) {
    const uint4 bits = as_type<uint4>(quad) & 0x7fffffffu;
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// The bits of a head's scale in every lane, from the largest magnitude of each lane's part. All lanes of the
// threadgroup must call it, once for the same `parts` of HEADS_PARTS words.
inline uint head_scale(uint largest, uint lane, threadgroup uint* parts) {
    if (SCALED == 0) {
        return 0;
    }
    const uint own = simd_max(largest);
    if (lane % SIMD == 0) {
        parts[lane / SIMD] = own;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint bits = simd_max(lane % SIMD < HEADS_PARTS ? parts[lane % SIMD] : 0u);
    // Below 2^−100 the scale is zero. NaN or infinity makes it NaN.
    if (bits < 0x0d800000u || bits >= 0x7f800000u) {
        return bits < 0x0d800000u ? 0u : 0x7fc00000u;
    }
    return (as_type<uint>(as_type<float>(bits) * 0.007874016f) + 0x80u) & 0xffffff00u;
}

// The codes of a quad, the first in the lowest byte. They are zero where the scale is zero or NaN.
inline uint codes_of(float4 quad, uint bits) {
    if (bits == 0 || bits >= 0x7f800000u) {
        return 0;
    }
    const int4 codes = int4(rint(quad / as_type<float>(bits)));
    uint word = 0;
    for (uint i = 0; i < 4; i++) {
        word |= (uint(codes[i]) & 0xffu) << (8 * i);
    }
    return word;
}

// Stores a quad of a head, and the head's scale.
template <typename Q> inline void keep(device Q* tensor, uint at, float4 quad, uint) {
    tensor[at] = pack<Q>(quad);
}

template <uint WORDS, uint HEAD_QUADS>
inline void keep(device HeadBytes<WORDS, HEAD_QUADS>* tensor, uint at, float4 quad, uint scale) {
    tensor[at].word = codes_of(quad, scale);
    if (at % HEAD_QUADS == 0) {
        tensor[WORDS + at / HEAD_QUADS].word = scale;
    }
}

// Quantized weights: the places of a matrix's planes, and how codes become values. A code becomes the last digits of a
// float whose last digit counts ones. Then the float without the code is subtracted, which is exact.

// A word of a matrix of signed bytes, whose block words begin at word WORDS.
template <uint WORDS> struct Bytes {
    uint word;
};

// A word of a matrix of 4-bit codes, whose block words begin at word WORDS and whose units at word UNITS_AT; a row has
// ROW_QUADS quads and ROW_UNITS units.
template <uint WORDS, uint UNITS_AT, uint ROW_QUADS, uint ROW_UNITS> struct Nibbles {
    uint word;
};

// The f16 with this index of a plane.
template <typename W> inline float half_of(device const W* plane, uint at) {
    const half2 pair = as_type<half2>(plane[at / 2].word);
    return float(at % 2 == 0 ? pair.x : pair.y);
}

// Four weights, a signed byte each.
inline float4 quad_of_bytes(uint word, float scale) {
    const uint bytes = word ^ 0x80808080u;
    const uint4 codes = uint4(bytes, bytes, bytes >> 16u, bytes >> 16u) & uint4(0xffu, 0xff00u, 0xffu, 0xff00u);
    const float4 floats = as_type<float4>(codes | uint4(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u));
    return (floats - float4(8388736.0f, 32896.0f, 8388736.0f, 32896.0f)) * scale;
}

// The 4-bit numbers in bits 4 to 19 of a word, minus `first`.
inline float4 numbers_of_nibbles(uint word, float first) {
    const uint4 codes = uint4(word) & uint4(0xf0u, 0xf00u, 0xf000u, 0xf0000u);
    const float4 floats = as_type<float4>(codes | uint4(0x49000000u, 0x47000000u, 0x45000000u, 0x43000000u));
    return floats - (float4(524288.0f, 32768.0f, 2048.0f, 128.0f) + first);
}

// Four weights with codes in bits 4 to 19 of a word. 16 weights share `byte`: distance of values low, place high.
inline float4 quad_of_nibbles(uint word, uint byte, float unit) {
    const float distance = unit * float((byte & 15u) + 4u);
    const float first = 10.3125f - 0.375f * float((byte >> 4u) & 15u);
    return numbers_of_nibbles(word, first) * distance;
}

inline float4 unpack(ScaledBytes quad) {
    return quad_of_bytes(quad.word, quad.scale);
}

template <uint WORDS, uint HEAD_QUADS> inline float4 quad_of(device const HeadBytes<WORDS, HEAD_QUADS>* heads, uint at) {
    return unpack(held(heads, at));
}

// Quad `at` of a matrix, counted through all rows.
template <uint WORDS> inline float4 quad_of(device const Bytes<WORDS>* matrix, uint at) {
    return quad_of_bytes(matrix[at].word, half_of(matrix + WORDS, at / 8));
}

template <uint WORDS, uint UNITS_AT, uint ROW_QUADS, uint ROW_UNITS>
inline float4 quad_of(device const Nibbles<WORDS, UNITS_AT, ROW_QUADS, ROW_UNITS>* matrix, uint at) {
    const uint byte = matrix[WORDS + at / 16].word >> (at / 4 % 4 * 8);
    const float unit = half_of(matrix + UNITS_AT, at / ROW_QUADS * ROW_UNITS + at % ROW_QUADS / 64);
    const uint word = matrix[at / 2].word;
    return quad_of_nibbles(at % 2 == 0 ? word << 4u : word >> 12u, byte, unit);
}

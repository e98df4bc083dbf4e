// GGML's Q5_K: the low 4 bits of codes in one plane, 16 bytes of scales for each 256 codes in the next, and the codes'
// highest bits in the last. Needs `words`.
#if USE == QUADS

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let header = $SECOND_PLANEu + at / 64u * 4u;
    let scales = vec4(word_$NAME(header), word_$NAME(header + 1u), word_$NAME(header + 2u), word_$NAME(header + 3u));
    let terms = terms_of_block(scales, at / 8u % 8u);
    let codes = $NAME[at / 2u];
    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);
    let high = (word_$NAME($THIRD_PLANEu + at / 8u) >> (at % 8u * 4u)) << 4u;
    return fma(numbers_of_nibbles(low, 0.0) + numbers_of_bits(high), vec4(terms.x), vec4(terms.y));
}
#end
#if USE == PIECES

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let terms = terms_of_block($NAME[$SECOND_PLANE_VECTORu + at / 8u], at % 8u);
    let codes = $NAME[at];
    let high = word_$NAME($THIRD_PLANEu + at);
    return Piece(
        fma(numbers_of_nibbles(codes.x << 4u, 0.0) + numbers_of_bits(high << 4u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.x >> 12u, 0.0) + numbers_of_bits(high >> 0u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.y << 4u, 0.0) + numbers_of_bits(high >> 4u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.y >> 12u, 0.0) + numbers_of_bits(high >> 8u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.z << 4u, 0.0) + numbers_of_bits(high >> 12u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.z >> 12u, 0.0) + numbers_of_bits(high >> 16u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.w << 4u, 0.0) + numbers_of_bits(high >> 20u), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.w >> 12u, 0.0) + numbers_of_bits(high >> 24u), vec4(terms.x), vec4(terms.y))
    );
}
#end
#if USE == CODES

// Loads the words of block `at`. They are unpacked later, so a kernel can work while they load.
fn raw_$NAME(at: u32) -> Raw {
    return Raw($NAME[at], vec4(word_$NAME($THIRD_PLANEu + at), 0u, 0u, 0u), $NAME[$SECOND_PLANE_VECTORu + at / 8u]);
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let terms = terms_of_block(raw.scales, at % 8u);
    return codes_with_bits(raw.codes, raw.high.x, vec4(terms.xx, -terms.yy));
}
#end

// GGML's Q6_K: the low 4 bits of codes in one plane, nine f16 of scales for each 256 codes in the next, and the codes'
// two high bits in the last. Needs `words`.

// The word with this f16 of the second plane.
fn word_of_half_$NAME(at: u32) -> u32 {
    return word_$NAME($SECOND_PLANEu + at / 2u);
}
#if USE == QUADS

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let block = at / 8u;
    let terms = terms_of_bytes(word_of_half_$NAME(bytes_at(block)), word_of_half_$NAME(unit_at(block)), block);
    let codes = $NAME[at / 2u];
    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);
    let high = (word_$NAME($THIRD_PLANEu + at / 4u) >> (at % 4u * 8u)) << 4u;
    return (numbers_of_nibbles(low, 0.0) + numbers_of_pairs(high) - 32.0) * select(terms.y, terms.x, at % 8u < 4u);
}
#end
#if USE == PIECES

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let terms = terms_of_bytes(word_of_half_$NAME(bytes_at(at)), word_of_half_$NAME(unit_at(at)), at);
    let codes = $NAME[at];
    let highs = vec2(word_$NAME($THIRD_PLANEu + 2u * at), word_$NAME($THIRD_PLANEu + 2u * at + 1u));
    return Piece(
        (numbers_of_nibbles(codes.x << 4u, 0.0) + numbers_of_pairs(highs.x << 4u) - 32.0) * terms.x,
        (numbers_of_nibbles(codes.x >> 12u, 0.0) + numbers_of_pairs(highs.x >> 4u) - 32.0) * terms.x,
        (numbers_of_nibbles(codes.y << 4u, 0.0) + numbers_of_pairs(highs.x >> 12u) - 32.0) * terms.x,
        (numbers_of_nibbles(codes.y >> 12u, 0.0) + numbers_of_pairs(highs.x >> 20u) - 32.0) * terms.x,
        (numbers_of_nibbles(codes.z << 4u, 0.0) + numbers_of_pairs(highs.y << 4u) - 32.0) * terms.y,
        (numbers_of_nibbles(codes.z >> 12u, 0.0) + numbers_of_pairs(highs.y >> 4u) - 32.0) * terms.y,
        (numbers_of_nibbles(codes.w << 4u, 0.0) + numbers_of_pairs(highs.y >> 12u) - 32.0) * terms.y,
        (numbers_of_nibbles(codes.w >> 12u, 0.0) + numbers_of_pairs(highs.y >> 20u) - 32.0) * terms.y
    );
}
#end
#if USE == CODES

// Loads the words of block `at`. They are unpacked later, so a kernel can work while they load.
fn raw_$NAME(at: u32) -> Raw {
    let high = vec4(word_$NAME($THIRD_PLANEu + 2u * at), word_$NAME($THIRD_PLANEu + 2u * at + 1u), 0u, 0u);
    let scales = vec4(word_of_half_$NAME(bytes_at(at)), word_of_half_$NAME(unit_at(at)), 0u, 0u);
    return Raw($NAME[at], high, scales);
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let terms = terms_of_bytes(raw.scales.x, raw.scales.y, at);
    return codes_with_pairs(raw.codes, raw.high.x, raw.high.y, vec4(terms, 32.0 * terms));
}
#end

// GGML's Q4_0: codes of 4 bits in one plane, and an f16 scale for each 32 codes in the next plane. Needs `words`.
#if USE == QUADS

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let scale = half_of(word_$NAME($SECOND_PLANEu + at / 16u), at / 8u);
    let codes = $NAME[at / 2u];
    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);
    return (numbers_of_nibbles(low, 0.0) - 8.0) * scale;
}
#end
#if USE == PIECES

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let scale = half_of(word_$NAME($SECOND_PLANEu + at / 2u), at);
    let codes = $NAME[at];
    return Piece(
        (numbers_of_nibbles(codes.x << 4u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.x >> 12u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.y << 4u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.y >> 12u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.z << 4u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.z >> 12u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.w << 4u, 0.0) - 8.0) * scale,
        (numbers_of_nibbles(codes.w >> 12u, 0.0) - 8.0) * scale
    );
}
#end
#if USE == CODES

// Loads the words of block `at`. They are unpacked later, so a kernel can work while they load.
fn raw_$NAME(at: u32) -> Raw {
    return Raw($NAME[at], vec4(0u), vec4(word_$NAME($SECOND_PLANEu + at / 2u), 0u, 0u, 0u));
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let scale = half_of(raw.scales.x, at);
    return codes_of_nibbles(raw.codes, vec4(scale, scale, 8.0 * scale, 8.0 * scale));
}
#end

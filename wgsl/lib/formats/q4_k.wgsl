// GGML's Q4_K: codes of 4 bits in one plane, and 16 bytes that scale each 256 of them in the next plane.

#if USE == QUADS
alias Quad_$NAME = u32;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at];
}

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let block = at / 8u;
    let terms = terms_of_block(vec4(word_$NAME($SECOND_PLANEu + block / 8u * 4u + 0u), word_$NAME($SECOND_PLANEu + block / 8u * 4u + 1u), word_$NAME($SECOND_PLANEu + block / 8u * 4u + 2u), word_$NAME($SECOND_PLANEu + block / 8u * 4u + 3u)), block % 8u);
    let codes = $NAME[at / 2u];
    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);
    return fma(numbers_of_nibbles(low, 0.0), vec4(terms.x), vec4(terms.y));
}
#end
#if USE == PIECES
alias Wide_$NAME = vec4<u32>;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at / 4u][at % 4u];
}

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let block = at;
    let terms = terms_of_block($NAME[$SECOND_PLANE_VECTORu + block / 8u], block % 8u);
    let codes = $NAME[at];
    return Piece(
        fma(numbers_of_nibbles(codes.x << 4u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.x >> 12u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.y << 4u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.y >> 12u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.z << 4u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.z >> 12u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.w << 4u, 0.0), vec4(terms.x), vec4(terms.y)),
        fma(numbers_of_nibbles(codes.w >> 12u, 0.0), vec4(terms.x), vec4(terms.y))
    );
}
#end
#if USE == CODES
alias Wide_$NAME = vec4<u32>;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at / 4u][at % 4u];
}

// Loads block `at`, counted through all rows, as it lies in memory. A kernel does other things while the words are on their way.
fn raw_$NAME(at: u32) -> Raw {
    return Raw($NAME[at], vec4(0u), $NAME[$SECOND_PLANE_VECTORu + at / 8u]);
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let block = at;
    let terms = terms_of_block(raw.scales, block % 8u);
    return codes_of_nibbles(raw.codes, vec4(terms.xx, -terms.yy));
}
#end

// GGML's Q4_0: codes of 4 bits in one plane, and a half that scales each 32 of them in the next plane.

#if USE == QUADS
alias Quad_$NAME = u32;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at];
}

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let block = at / 8u;
    let terms = unpack2x16float(word_$NAME($SECOND_PLANEu + block / 2u) >> (block % 2u * 16u)).x;
    let codes = $NAME[at / 2u];
    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);
    return (numbers_of_nibbles(low, 0.0) - 8.0) * terms;
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
    let terms = unpack2x16float(word_$NAME($SECOND_PLANEu + block / 2u) >> (block % 2u * 16u)).x;
    let codes = $NAME[at];
    return Piece(
        (numbers_of_nibbles(codes.x << 4u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.x >> 12u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.y << 4u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.y >> 12u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.z << 4u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.z >> 12u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.w << 4u, 0.0) - 8.0) * terms,
        (numbers_of_nibbles(codes.w >> 12u, 0.0) - 8.0) * terms
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
    return Raw($NAME[at], vec4(0u), vec4(word_$NAME($SECOND_PLANEu + at / 2u), 0u, 0u, 0u));
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let block = at;
    let terms = unpack2x16float(raw.scales.x >> (block % 2u * 16u)).x;
    return codes_of_nibbles(raw.codes, vec4(terms, terms, 8.0 * terms, 8.0 * terms));
}
#end

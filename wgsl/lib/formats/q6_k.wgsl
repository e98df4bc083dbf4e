// GGML's Q6_K: the low 4 bits of codes in one plane, 9 halves that scale each 256 of them in the next, and the codes' two high
// bits in the last.

#if USE == QUADS
alias Quad_$NAME = u32;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at];
}

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let block = at / 8u;
    let pair = word_$NAME($SECOND_PLANEu + (block / 8u * 9u + block % 8u) / 2u) >> ((block / 8u * 9u + block % 8u) % 2u * 16u);
    let unit = unpack2x16float(word_$NAME($SECOND_PLANEu + (block / 8u * 9u + 8u) / 2u) >> ((block / 8u * 9u + 8u) % 2u * 16u)).x;
    let terms = unit * numbers_of_bytes(pair);
    let codes = $NAME[at / 2u];
    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);
    let high = word_$NAME($THIRD_PLANEu + at / 4u);
    return (numbers_of_nibbles(low, 0.0) + numbers_of_pairs((high >> (at % 4u * 8u)) << 4u) - 32.0) * select(terms.y, terms.x, at % 8u < 4u);
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
    let pair = word_$NAME($SECOND_PLANEu + (block / 8u * 9u + block % 8u) / 2u) >> ((block / 8u * 9u + block % 8u) % 2u * 16u);
    let unit = unpack2x16float(word_$NAME($SECOND_PLANEu + (block / 8u * 9u + 8u) / 2u) >> ((block / 8u * 9u + 8u) % 2u * 16u)).x;
    let terms = unit * numbers_of_bytes(pair);
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
alias Wide_$NAME = vec4<u32>;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at / 4u][at % 4u];
}

// Loads block `at`, counted through all rows, as it lies in memory. A kernel does other things while the words are on their way.
fn raw_$NAME(at: u32) -> Raw {
    return Raw($NAME[at], vec4(word_$NAME($THIRD_PLANEu + 2u * at), word_$NAME($THIRD_PLANEu + 2u * at + 1u), 0u, 0u), vec4(word_$NAME($SECOND_PLANEu + (at / 8u * 9u + at % 8u) / 2u), word_$NAME($SECOND_PLANEu + (at / 8u * 9u + 8u) / 2u), 0u, 0u));
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let block = at;
    let pair = raw.scales.x >> ((block / 8u * 9u + block % 8u) % 2u * 16u);
    let unit = unpack2x16float(raw.scales.y >> ((block / 8u * 9u + 8u) % 2u * 16u)).x;
    let terms = unit * numbers_of_bytes(pair);
    return codes_with_pairs(raw.codes, raw.high.x, raw.high.y, vec4(terms, 32.0 * terms));
}
#end

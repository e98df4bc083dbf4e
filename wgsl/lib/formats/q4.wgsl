// q4: codes of 4 bits in one plane, a byte for each 16 of them in the next, and a half for each 256 in the last.

#if USE == QUADS
alias Quad_$NAME = u32;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at];
}

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let terms = terms_of(word_$NAME($SECOND_PLANEu + at / 16u) >> (at / 4u % 4u * 8u), unpack2x16float(word_$NAME($THIRD_PLANEu + ($UNIT_OF_QUAD) / 2u) >> (($UNIT_OF_QUAD) % 2u * 16u)).x);
    let word = $NAME[at / 2u];
    return quad_of_nibbles(select(word >> 12u, word << 4u, at % 2u == 0u), terms);
}
#end
#if USE == PIECES
alias Wide_$NAME = vec4<u32>;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at / 4u][at % 4u];
}

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let words = $NAME[at];
    let unit = unpack2x16float(word_$NAME($THIRD_PLANEu + ($UNIT_OF_BLOCK) / 2u) >> (($UNIT_OF_BLOCK) % 2u * 16u)).x;
    let bytes = word_$NAME($SECOND_PLANEu + at / 2u) >> (at % 2u * 16u);
    let first = terms_of(bytes, unit);
    let last = terms_of(bytes >> 8u, unit);
    return Piece(
        quad_of_nibbles(words.x << 4u, first),
        quad_of_nibbles(words.x >> 12u, first),
        quad_of_nibbles(words.y << 4u, first),
        quad_of_nibbles(words.y >> 12u, first),
        quad_of_nibbles(words.z << 4u, last),
        quad_of_nibbles(words.z >> 12u, last),
        quad_of_nibbles(words.w << 4u, last),
        quad_of_nibbles(words.w >> 12u, last)
    );
}
#end
#if USE == FETCHES
alias Quad_$NAME = u32;
alias Fetch_$NAME = vec4<u32>;

// Loads pair `at` of quads, as it lies in memory. A kernel does other things while the words are on their way.
fn fetch_$NAME(at: u32) -> vec4<u32> {
    let unit = $UNIT_OF_PAIR;
    let shifts = at / 2u % 4u * 8u | unit % 2u * 16u << 8u;
    return vec4($NAME[at], $NAME[$SECOND_PLANEu + at / 8u], $NAME[$THIRD_PLANEu + unit / 2u], shifts);
}

// Both quads of a loaded pair.
fn halves_$NAME(fetch: vec4<u32>) -> array<vec4<f16>, 2> {
    let unit = unpack2x16float(fetch.z >> (fetch.w >> 8u)).x;
    let terms = terms_of(fetch.y >> (fetch.w & 31u), unit);
    return array(vec4<f16>(quad_of_nibbles(fetch.x << 4u, terms)), vec4<f16>(quad_of_nibbles(fetch.x >> 12u, terms)));
}
#end
#if USE == CODES
alias Wide_$NAME = vec4<u32>;

fn word_$NAME(at: u32) -> u32 {
    return $NAME[at / 4u][at % 4u];
}

// Loads block `at`, counted through all rows, as it lies in memory. A kernel does other things while the words are on their way.
fn raw_$NAME(at: u32) -> Raw {
    return Raw($NAME[at], vec4(0u), vec4(word_$NAME($SECOND_PLANEu + at / 2u), word_$NAME($THIRD_PLANEu + ($UNIT_OF_BLOCK) / 2u), 0u, 0u));
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let unit = unpack2x16float(raw.scales.y >> (($UNIT_OF_BLOCK) % 2u * 16u)).x;
    let bytes = raw.scales.x >> (at % 2u * 16u);
    let first = terms_of(bytes, unit);
    let last = terms_of(bytes >> 8u, unit);
    let scales = vec2(first.x, last.x);
    let terms = vec4(scales, scales * vec2(first.y, last.y));
    return codes_of_nibbles(raw.codes, terms);
}
#end

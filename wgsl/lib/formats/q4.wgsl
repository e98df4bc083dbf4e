// q4: codes of 4 bits in one plane, a byte for each 16 codes in the next, and an f16 for each 256 in the last. Needs
// `words`.

// The index of the unit that scales a block.
fn unit_of_$NAME(block: u32) -> u32 {
    #if WHOLE_UNITS
    return block / 8u;
    #else
    return block / $ROW_BLOCKSu * $ROW_UNITSu + block % $ROW_BLOCKSu / 8u;
    #end
}
#if USE == QUADS

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    let byte = word_$NAME($SECOND_PLANEu + at / 16u) >> (at / 4u % 4u * 8u);
    let unit = unit_of_$NAME(at / 8u);
    let terms = terms_of(byte, half_of(word_$NAME($THIRD_PLANEu + unit / 2u), unit));
    let word = $NAME[at / 2u];
    return quad_of_nibbles(select(word >> 12u, word << 4u, at % 2u == 0u), terms);
}
#end
#if USE == PIECES

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let words = $NAME[at];
    let unit_at = unit_of_$NAME(at);
    let unit = half_of(word_$NAME($THIRD_PLANEu + unit_at / 2u), unit_at);
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

alias Fetch_$NAME = vec4<u32>;

// Loads the words of pair `at` of quads. They are unpacked later, so a kernel can work while they load.
fn fetch_$NAME(at: u32) -> vec4<u32> {
    let unit = unit_of_$NAME(at / 4u);
    let shifts = (at / 2u % 4u * 8u) | ((unit % 2u * 16u) << 8u);
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

// Loads the words of block `at`. They are unpacked later, so a kernel can work while they load.
fn raw_$NAME(at: u32) -> Raw {
    let bytes = word_$NAME($SECOND_PLANEu + at / 2u);
    let unit = word_$NAME($THIRD_PLANEu + unit_of_$NAME(at) / 2u);
    return Raw($NAME[at], vec4(0u), vec4(bytes, unit, 0u, 0u));
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let unit = half_of(raw.scales.y, unit_of_$NAME(at));
    let bytes = raw.scales.x >> (at % 2u * 16u);
    let first = terms_of(bytes, unit);
    let last = terms_of(bytes >> 8u, unit);
    let scales = vec2(first.x, last.x);
    return codes_of_nibbles(raw.codes, vec4(scales, scales * vec2(first.y, last.y)));
}
#end

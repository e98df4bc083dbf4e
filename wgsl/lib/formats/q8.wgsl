// q8: signed bytes in one plane, and an f16 scale for each 32 of them in the next plane. Needs `words`.
#if USE == QUADS

// Quad `at`, counted through all rows.
fn quad_$NAME(at: u32) -> vec4<f32> {
    return quad_of_bytes($NAME[at], half_of(word_$NAME($SECOND_PLANEu + at / 16u), at / 8u));
}
#end
#if USE == PIECES

// Block `at`, counted through all rows.
fn load_$NAME(at: u32) -> Piece {
    let low = $NAME[2u * at];
    let high = $NAME[2u * at + 1u];
    let scale = half_of(word_$NAME($SECOND_PLANEu + at / 2u), at);
    return Piece(
        quad_of_bytes(low.x, scale),
        quad_of_bytes(low.y, scale),
        quad_of_bytes(low.z, scale),
        quad_of_bytes(low.w, scale),
        quad_of_bytes(high.x, scale),
        quad_of_bytes(high.y, scale),
        quad_of_bytes(high.z, scale),
        quad_of_bytes(high.w, scale)
    );
}
#end
#if USE == FETCHES

alias Fetch_$NAME = vec4<u32>;

// Loads the words of pair `at` of quads. They are unpacked later, so a kernel can work while they load.
fn fetch_$NAME(at: u32) -> vec4<u32> {
    let scales = $NAME[$SECOND_PLANEu + at / 8u];
    return vec4($NAME[2u * at], $NAME[2u * at + 1u], scales, at / 4u);
}

// Both quads of a loaded pair.
fn halves_$NAME(fetch: vec4<u32>) -> array<vec4<f16>, 2> {
    let scale = half_of(fetch.z, fetch.w);
    return array(vec4<f16>(quad_of_bytes(fetch.x, scale)), vec4<f16>(quad_of_bytes(fetch.y, scale)));
}
#end
#if USE == CODES

// Loads the words of block `at`. They are unpacked later, so a kernel can work while they load.
fn raw_$NAME(at: u32) -> Raw {
    return Raw($NAME[2u * at], $NAME[2u * at + 1u], vec4(word_$NAME($SECOND_PLANEu + at / 2u), 0u, 0u, 0u));
}

// Packed bytes of the loaded block `at`.
fn codes_$NAME(raw: Raw, at: u32) -> Codes {
    let scale = half_of(raw.scales.x, at);
    return Codes(raw.codes, raw.high, vec4(scale, scale, 0.0, 0.0));
}
#end

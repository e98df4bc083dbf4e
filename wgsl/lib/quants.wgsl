// How codes of quantized weights become values. A code becomes the last digits of a float whose last digit counts ones.
// Then the float without the code is subtracted. This is exact and converts no integers.

// The f16 with index `at` of a plane, from the word that contains it.
fn half_of(word: u32, at: u32) -> f32 {
    return unpack2x16float(word >> (at % 2u * 16u)).x;
}

// Four weights, a signed byte each.
fn quad_of_bytes(word: u32, scale: f32) -> vec4<f32> {
    let bytes = word ^ 0x80808080u;
    let codes = vec4(bytes, bytes, bytes >> 16u, bytes >> 16u) & vec4(0xffu, 0xff00u, 0xffu, 0xff00u);
    let floats = bitcast<vec4<f32>>(codes | vec4(0x4b000000u, 0x47000000u, 0x4b000000u, 0x47000000u));
    return (floats - vec4(8388736.0, 32896.0, 8388736.0, 32896.0)) * scale;
}

// The terms of 16 weights of 4 bits, from their byte of a block word: distance of values, and −(value of code 0).
fn terms_of(byte: u32, unit: f32) -> vec2<f32> {
    return vec2(unit * f32((byte & 15u) + 4u), 10.3125 - 0.375 * f32((byte >> 4u) & 15u));
}

// The 4-bit numbers in bits 4 to 19 of a word, minus `first`.
fn numbers_of_nibbles(word: u32, first: f32) -> vec4<f32> {
    let codes = vec4(word) & vec4(0xf0u, 0xf00u, 0xf000u, 0xf0000u);
    let floats = bitcast<vec4<f32>>(codes | vec4(0x49000000u, 0x47000000u, 0x45000000u, 0x43000000u));
    return floats - (vec4(524288.0, 32768.0, 2048.0, 128.0) + first);
}

// Four weights whose codes are bits 4 to 19 of a word.
fn quad_of_nibbles(word: u32, terms: vec2<f32>) -> vec4<f32> {
    return numbers_of_nibbles(word, terms.y) * terms.x;
}

// The words of a block of 32 weights, as in memory. Formats with fewer words leave the rest zero.
struct Raw {
    codes: vec4<u32>,
    high: vec4<u32>,
    scales: vec4<u32>,
}

// A block of 32 weights as packed bytes, in two halves of 16. A half's weights are scale · bytes − offset.
// terms: both scales, both offsets
struct Codes {
    first: vec4<u32>,
    last: vec4<u32>,
    terms: vec4<f32>,
}

// From 32 codes of 4 bits: of each eight codes, first the even ones, then the odd ones.
fn codes_of_nibbles(words: vec4<u32>, terms: vec4<f32>) -> Codes {
    let even = words & vec4(0x0f0f0f0fu);
    let odd = (words >> vec4(4u)) & vec4(0x0f0f0f0fu);
    return Codes(vec4(even.x, odd.x, even.y, odd.y), vec4(even.z, odd.z, even.w, odd.w), terms);
}

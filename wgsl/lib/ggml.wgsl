// How GGML's codes become values. Like other codes, bits become the last digits of a float, which is exact.

// 16 for each set bit of bits 4 to 7.
fn numbers_of_bits(word: u32) -> vec4<f32> {
    let codes = vec4(word) & vec4(0x10u, 0x20u, 0x40u, 0x80u);
    let floats = bitcast<vec4<f32>>(codes | vec4(0x4b000000u, 0x4a800000u, 0x4a000000u, 0x49800000u));
    return floats - vec4(8388608.0, 4194304.0, 2097152.0, 1048576.0);
}

// 16 times each of the 2-bit numbers in bits 4 to 11.
fn numbers_of_pairs(word: u32) -> vec4<f32> {
    let codes = vec4(word) & vec4(0x30u, 0xc0u, 0x300u, 0xc00u);
    let floats = bitcast<vec4<f32>>(codes | vec4(0x4b000000u, 0x4a000000u, 0x49000000u, 0x48000000u));
    return floats - vec4(8388608.0, 2097152.0, 524288.0, 131072.0);
}

// Distance and minimum of the values of a block of 32, one of the eight blocks with scales here. Six bits multiply an
// f16 for each. The last four blocks have their two highest bits beside the first blocks' six bits.
fn terms_of_block(header: vec4<u32>, block: u32) -> vec2<f32> {
    let bytes = header.yzw >> vec3(block % 4u * 8u);
    let low = vec2(bytes.x, bytes.y) & vec2(63u);
    let split = (vec2(bytes.z, bytes.z >> 4u) & vec2(15u)) | ((vec2(bytes.x, bytes.y) >> vec2(2u)) & vec2(48u));
    return unpack2x16float(header.x) * vec2<f32>(select(split, low, block < 4u)) * vec2(1.0, -1.0);
}

// Nine f16 scale eight blocks: here the index of the f16 with a block's two signed bytes; the last f16 is the unit.
fn bytes_at(block: u32) -> u32 {
    return block / 8u * 9u + block % 8u;
}

fn unit_at(block: u32) -> u32 {
    return block / 8u * 9u + 8u;
}

// The scales of both halves of a block, from the words that contain them.
fn terms_of_bytes(bytes: u32, unit: u32, block: u32) -> vec2<f32> {
    return half_of(unit, unit_at(block)) * numbers_of_bytes(bytes >> (bytes_at(block) % 2u * 16u));
}

// Two signed bytes.
fn numbers_of_bytes(word: u32) -> vec2<f32> {
    return vec2<f32>(vec2(bitcast<i32>(word << 24u) >> 24u, bitcast<i32>(word << 16u) >> 24u));
}

// Each four bits become the upper bits of a byte.
fn spread(nibbles: vec4<u32>) -> vec4<u32> {
    let pairs = (nibbles | (nibbles << vec4(8u))) & vec4(0x00ff00ffu);
    return ((pairs | (pairs << vec4(4u))) & vec4(0x0f0f0f0fu)) << vec4(4u);
}

// Packed bytes of codes of 6 bits: 4 bits, and 2 more bits in 16 bits for each word.
fn codes_with_pairs(words: vec4<u32>, first: u32, last: u32, terms: vec4<f32>) -> Codes {
    let high = vec4(first, first >> 16u, last, last >> 16u);
    let even = (words & vec4(0x0f0f0f0fu)) | spread(high & vec4(0x3333u));
    let odd = ((words >> vec4(4u)) & vec4(0x0f0f0f0fu)) | spread((high >> vec4(2u)) & vec4(0x3333u));
    return Codes(vec4(even.x, odd.x, even.y, odd.y), vec4(even.z, odd.z, even.w, odd.w), terms);
}

// Packed bytes of codes of 5 bits: 4 bits, and one more bit in a byte for each word.
fn codes_with_bits(words: vec4<u32>, bits: u32, terms: vec4<f32>) -> Codes {
    let of_word = (vec4(bits) >> vec4(0u, 8u, 16u, 24u)) & vec4(0xffu);
    let fours = (of_word | (of_word << vec4(4u))) & vec4(0x0f0fu);
    let pairs = (fours | (fours << vec4(2u))) & vec4(0x3333u);
    let both = ((pairs | (pairs << vec4(1u))) & vec4(0x5555u));
    return codes_with_pairs(words, both.x | (both.y << 16u), both.z | (both.w << 16u), terms);
}

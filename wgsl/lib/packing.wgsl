// Rows for packed products: 16-bit numbers in two bytes each, and a scale for each 32 of them.

// An element is a number from −32512 to 32512: 256 · high byte + low byte, both signed.
const MAX_NUMBER: f32 = 32512.0;

// A block of a row: high and low bytes of its first and last 16 elements.
// terms: scale, sums of the first and the last 16 elements, and the sum of squares for a norm
struct Row_block {
    high: vec4<u32>,
    high_last: vec4<u32>,
    low: vec4<u32>,
    low_last: vec4<u32>,
    terms: vec4<f32>,
}

// Eight elements of a block, and the block's terms, which are right in its first lane only.
struct Coded {
    high: vec2<u32>,
    low: vec2<u32>,
    terms: vec3<f32>,
}

// Packs a lane's eight elements of a block that four lanes share, `reach` lanes apart. All lanes of a subgroup must
// call it.
fn coded(first: vec4<f32>, last: vec4<f32>, reach: u32) -> Coded {
    // Compares bits: NaN has the largest.
    let sizes = max(bitcast<vec4<u32>>(first) & vec4(0x7fffffffu), bitcast<vec4<u32>>(last) & vec4(0x7fffffffu));
    var size = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
    size = max(size, subgroupShuffleXor(size, reach));
    size = max(size, subgroupShuffleXor(size, 2u * reach));
    // Magnitudes below 2⁻¹⁰⁰ become zero.
    let largest = select(bitcast<f32>(size), 0.0, size < 0x0d800000u);
    let inverse = select(MAX_NUMBER / largest, 0.0, size < 0x0d800000u);
    let a = vec4<i32>(round(first * inverse));
    let b = vec4<i32>(round(last * inverse));
    var sum = dot(a, vec4(1)) + dot(b, vec4(1));
    sum += subgroupShuffleXor(sum, reach);
    let other = subgroupShuffleXor(sum, 2u * reach);
    let scale = largest / MAX_NUMBER;
    let high = vec2(pack4xI8((a + 128) >> vec4(8u)), pack4xI8((b + 128) >> vec4(8u)));
    return Coded(high, vec2(pack4xI8(a), pack4xI8(b)), vec3(scale, scale * f32(sum), scale * f32(other)));
}

// Heads in 8 bits: a signed byte for each element, element / scale rounded to nearest even, and a scale: the largest
// magnitude / 127, to 16 digits. Code times scale is exact, and so is its difference to the element. So the code is
// right, whatever the precision of the division. Where SCALED is 0, heads have no scale.

var<workgroup> heads_largest: atomic<u32>;

// The bits of a quad's largest magnitude. The bits of NaN are the largest.
fn largest_of(quad: vec4<f32>) -> u32 {
    let bits = bitcast<vec4<u32>>(quad) & vec4(0x7fffffffu);
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// The bits of a head's scale in every lane, from the largest magnitude of each lane's part. All lanes of the workgroup
// must call it, once.
fn head_scale(largest: u32, lane: u32) -> u32 {
    if SCALED == 0u {
        return 0u;
    }
    if lane == 0u {
        atomicStore(&heads_largest, 0u);
    }
    workgroupBarrier();
    atomicMax(&heads_largest, largest);
    workgroupBarrier();
    let bits = atomicLoad(&heads_largest);
    let scale = (bitcast<u32>(bitcast<f32>(bits) * 0.007874016) + 0x80u) & 0xffffff00u;
    // Below 2^−100 the scale is zero. NaN or infinity makes it NaN.
    return select(select(scale, 0u, bits < 0x0d800000u), 0x7fc00000u, bits >= 0x7f800000u);
}

// The codes of a quad, the first in the lowest byte. They are zero where the scale is zero or NaN.
fn codes_of(quad: vec4<f32>, bits: u32) -> u32 {
    let some = bits != 0u && bits < 0x7f800000u;
    let scale = bitcast<f32>(select(0x3f800000u, bits, some));
    let values = select(vec4(0.0), quad, some);
    let near = round(values / scale);
    let rest = values - near * scale;
    let odd = (vec4<i32>(near) & vec4(1)) == vec4(1);
    let beyond = (abs(rest) > vec4(0.5 * scale)) | ((abs(rest) == vec4(0.5 * scale)) & odd);
    let codes = bitcast<vec4<u32>>(vec4<i32>(near + select(vec4(0.0), sign(rest), beyond))) & vec4(0xffu);
    return codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
}

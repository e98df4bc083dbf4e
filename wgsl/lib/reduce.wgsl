// Sums over the lanes of a workgroup, through workgroup memory. LANES is a power of two.

const_assert countOneBits(LANES) == 1u;

var<workgroup> reduce_parts: array<f32, LANES>;

// The sum of all lanes' values, in every lane, in the order of a tree over the lanes. All lanes must call it.
fn reduce_sum(value: f32, lane: u32) -> f32 {
    reduce_parts[lane] = value;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if lane < width {
            reduce_parts[lane] += reduce_parts[lane + width];
        }
        workgroupBarrier();
    }
    let sum = reduce_parts[0];
    workgroupBarrier();
    return sum;
}

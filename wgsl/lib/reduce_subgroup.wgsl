// Sums over the lanes of a group, through subgroups of at least SUBGROUP lanes. LANES is a power of two.

const_assert countOneBits(LANES) == 1u;

// Lanes that surely share a subgroup, and how many such bundles there are.
const REDUCE_BUNDLE: u32 = min(LANES, SUBGROUP);
const REDUCE_BUNDLES: u32 = LANES / REDUCE_BUNDLE;

var<workgroup> reduce_parts: array<f32, REDUCE_BUNDLES>;

// The sum of a bundle's values, in each of its lanes; the order is that of a tree.
fn reduce_bundle(value: f32) -> f32 {
    var sum = value;
    for (var reach = 1u; reach < REDUCE_BUNDLE; reach *= 2u) {
        sum += subgroupShuffleXor(sum, reach);
    }
    return sum;
}

// The sum of all lanes' values, in every lane. All lanes must call it.
fn reduce_sum(value: f32, lane: u32) -> f32 {
    let sum = reduce_bundle(value);
    if lane % REDUCE_BUNDLE == 0u {
        reduce_parts[lane / REDUCE_BUNDLE] = sum;
    }
    workgroupBarrier();
    // Every bundle adds up what all of them have left.
    var left = 0.0;
    for (var at = lane % REDUCE_BUNDLE; at < REDUCE_BUNDLES; at += REDUCE_BUNDLE) {
        left += reduce_parts[at];
    }
    let total = reduce_bundle(left);
    workgroupBarrier();
    return total;
}

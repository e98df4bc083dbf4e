// Sums over the lanes of a workgroup, through subgroups of at least SUBGROUP lanes. LANES is a power of two.

const_assert countOneBits(LANES) == 1u;

// Lanes that always share a subgroup, and the number of such subgroups.
const REDUCE_SUBGROUP: u32 = min(LANES, SUBGROUP);
const REDUCE_SUBGROUPS: u32 = LANES / REDUCE_SUBGROUP;

var<workgroup> reduce_parts: array<f32, REDUCE_SUBGROUPS>;

// The sum of a subgroup's values, in each of its lanes, in the order of a tree.
fn reduce_subgroup(value: f32) -> f32 {
    var sum = value;
    for (var reach = 1u; reach < REDUCE_SUBGROUP; reach *= 2u) {
        sum += subgroupShuffleXor(sum, reach);
    }
    return sum;
}

// The sum of all lanes' values, in every lane. All lanes must call it.
fn reduce_sum(value: f32, lane: u32) -> f32 {
    let sum = reduce_subgroup(value);
    if lane % REDUCE_SUBGROUP == 0u {
        reduce_parts[lane / REDUCE_SUBGROUP] = sum;
    }
    workgroupBarrier();
    // Every subgroup adds the sums of all subgroups.
    var left = 0.0;
    for (var at = lane % REDUCE_SUBGROUP; at < REDUCE_SUBGROUPS; at += REDUCE_SUBGROUP) {
        left += reduce_parts[at];
    }
    let total = reduce_subgroup(left);
    workgroupBarrier();
    return total;
}

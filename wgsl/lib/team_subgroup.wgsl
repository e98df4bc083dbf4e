// Sums over teams of TEAM neighboring lanes of one subgroup. TEAM is a power of two, and no wider than a subgroup.

const_assert countOneBits(TEAM) == 1u;

// The sums of a team's values, in each of its lanes, in the order of a tree. All lanes of a team must call it.
fn team_sum(values: vec3<f32>, lane: u32) -> vec3<f32> {
    var sums = values;
    for (var width = 1u; width < TEAM; width *= 2u) {
        sums += subgroupShuffleXor(sums, width);
    }
    return sums;
}

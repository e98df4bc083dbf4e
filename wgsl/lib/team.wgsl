// Sums over teams of TEAM neighboring lanes, through workgroup memory. TEAM is a power of two.

const_assert countOneBits(TEAM) == 1u;

var<workgroup> team_parts: array<vec3<f32>, LANES>;

// The sums of a team's values, in each of its lanes, in the order of a tree. All lanes of the workgroup must call it.
fn team_sum(values: vec3<f32>, lane: u32) -> vec3<f32> {
    var sums = values;
    for (var width = 1u; width < TEAM; width *= 2u) {
        team_parts[lane] = sums;
        workgroupBarrier();
        sums += team_parts[lane ^ width];
        workgroupBarrier();
    }
    return sums;
}

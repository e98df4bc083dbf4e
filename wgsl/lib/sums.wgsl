// Sums over teams of TEAM neighbouring lanes, VALUES of them at once, through group memory. TEAM is a power of two.

const_assert countOneBits(TEAM) == 1u && LANES % TEAM == 0u;

var<workgroup> sums_parts: array<f32, LANES>;

// Replaces each value by the sum of its team's, in all of its lanes. All lanes of the group must call it.
fn team_sums(values: ptr<function, array<f32, VALUES>>, lane: u32) {
    #repeat i VALUES
    sums_parts[lane] = (*values)[$i];
    workgroupBarrier();
    (*values)[$i] = 0.0;
    for (var member = 0u; member < TEAM; member++) {
        (*values)[$i] += sums_parts[lane / TEAM * TEAM + member];
    }
    workgroupBarrier();
    #end
}

// Sums over teams of TEAM neighboring lanes, VALUES of them at once, through subgroups of at least SUBGROUP lanes. What a
// team has beyond one subgroup goes through group memory. TEAM is a power of two.

const_assert countOneBits(TEAM) == 1u && LANES % TEAM == 0u;

// Lanes of a team that surely share a subgroup, and how many such subgroups there are, in a team and in a group.
const SUMS_SUBGROUP: u32 = min(TEAM, SUBGROUP);
const SUMS_SUBGROUPS: u32 = TEAM / SUMS_SUBGROUP;
const SUMS_ALL: u32 = LANES / SUMS_SUBGROUP;

var<workgroup> sums_parts: array<f32, VALUES * SUMS_ALL>;

// Replaces each value by the sum of its team's, in all of its lanes; the order depends on TEAM and SUBGROUP alone. All
// lanes of the group must call it.
fn team_sums(values: ptr<function, array<f32, VALUES>>, lane: u32) {
    for (var reach = 1u; reach < SUMS_SUBGROUP; reach *= 2u) {
        #repeat i VALUES
        (*values)[$i] += subgroupShuffleXor((*values)[$i], reach);
        #end
    }
    if SUMS_SUBGROUPS > 1u {
        if lane % SUMS_SUBGROUP == 0u {
            #repeat i VALUES
            sums_parts[$iu * SUMS_ALL + lane / SUMS_SUBGROUP] = (*values)[$i];
            #end
        }
        workgroupBarrier();
        #repeat i VALUES
        (*values)[$i] = 0.0;
        #end
        for (var subgroup = 0u; subgroup < SUMS_SUBGROUPS; subgroup++) {
            #repeat i VALUES
            (*values)[$i] += sums_parts[$iu * SUMS_ALL + lane / TEAM * SUMS_SUBGROUPS + subgroup];
            #end
        }
        workgroupBarrier();
    }
}

// Sums over teams of TEAM neighboring lanes, VALUES sums at once, through subgroups of at least SUBGROUP lanes. Teams
// larger than a subgroup also use workgroup memory. TEAM is a power of two.

const_assert countOneBits(TEAM) == 1u && LANES % TEAM == 0u;

// Lanes of a team that always share a subgroup, and the number of such subgroups in a team and in a workgroup.
const SUMS_SUBGROUP: u32 = min(TEAM, SUBGROUP);
const SUMS_SUBGROUPS: u32 = TEAM / SUMS_SUBGROUP;
const SUMS_ALL: u32 = LANES / SUMS_SUBGROUP;

var<workgroup> sums_parts: array<f32, VALUES * SUMS_ALL>;

// Replaces each value by the sum of its team, in all of its lanes. The order depends on TEAM and SUBGROUP alone. All
// lanes of the workgroup must call it.
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

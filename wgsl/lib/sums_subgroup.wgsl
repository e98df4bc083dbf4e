// Sums over teams of TEAM neighbouring lanes, VALUES of them at once, through subgroups of at least SUBGROUP lanes. What a
// team has beyond one subgroup goes through group memory. TEAM is a power of two.

const_assert countOneBits(TEAM) == 1u && LANES % TEAM == 0u;

// Lanes of a team that surely share a subgroup, and how many such bundles there are, in a team and in a group.
const SUMS_BUNDLE: u32 = min(TEAM, SUBGROUP);
const SUMS_BUNDLES: u32 = TEAM / SUMS_BUNDLE;
const SUMS_ALL: u32 = LANES / SUMS_BUNDLE;

var<workgroup> sums_parts: array<f32, VALUES * SUMS_ALL>;

// Sums over a bundle in the order of the loop in `team_sums`, with half the shuffles: of four neighbouring lanes each sums up
// one of the values, and they exchange the sums.
fn sums_of_four(values: vec4<f32>, lane: u32) -> vec4<f32> {
    let odd = lane % 2u == 1u;
    let upper = lane % 4u >= 2u;
    let two = select(values.xz, values.yw, odd) + subgroupShuffleXor(select(values.yw, values.xz, odd), 1u);
    var one = select(two.x, two.y, upper) + subgroupShuffleXor(select(two.y, two.x, upper), 2u);
    for (var reach = 4u; reach < SUMS_BUNDLE; reach *= 2u) {
        one += subgroupShuffleXor(one, reach);
    }
    let across = subgroupShuffleXor(one, 2u);
    let own = select(vec2(one, across), vec2(across, one), upper);
    let other = subgroupShuffleXor(own, 1u);
    let even = select(own, other, odd);
    let rest = select(other, own, odd);
    return vec4(even.x, rest.x, even.y, rest.y);
}

// Replaces each value by the sum of its team's, in all of its lanes; the order depends on TEAM and SUBGROUP alone. All
// lanes of the group must call it.
fn team_sums(values: ptr<function, array<f32, VALUES>>, lane: u32) {
    if SUMS_BUNDLE >= 4u && VALUES % 4u == 0u {
        #repeat i VALUES
        if $iu % 4u == 0u {
            var four_$i: vec4<f32>;
            #repeat j 4
            four_$i[$j] = (*values)[min($iu + $ju, VALUES - 1u)];
            #end
            four_$i = sums_of_four(four_$i, lane);
            #repeat j 4
            (*values)[min($iu + $ju, VALUES - 1u)] = four_$i[$j];
            #end
        }
        #end
    } else {
        for (var reach = 1u; reach < SUMS_BUNDLE; reach *= 2u) {
            #repeat i VALUES
            (*values)[$i] += subgroupShuffleXor((*values)[$i], reach);
            #end
        }
    }
    if SUMS_BUNDLES > 1u {
        if lane % SUMS_BUNDLE == 0u {
            #repeat i VALUES
            sums_parts[$iu * SUMS_ALL + lane / SUMS_BUNDLE] = (*values)[$i];
            #end
        }
        workgroupBarrier();
        #repeat i VALUES
        (*values)[$i] = 0.0;
        #end
        for (var bundle = 0u; bundle < SUMS_BUNDLES; bundle++) {
            #repeat i VALUES
            (*values)[$i] += sums_parts[$iu * SUMS_ALL + lane / TEAM * SUMS_BUNDLES + bundle];
            #end
        }
        workgroupBarrier();
    }
}

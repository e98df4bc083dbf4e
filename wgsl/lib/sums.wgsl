// Sums over teams of TEAM neighboring lanes, VALUES sums at once, through workgroup memory. TEAM is a power of two.

const_assert countOneBits(TEAM) == 1u && LANES % TEAM == 0u;

var<workgroup> sums_parts: array<vec4<f32>, LANES>;

// Replaces each value by the sum of its team, in all of its lanes. All lanes of the workgroup must call it.
fn team_sums(values: ptr<function, array<f32, VALUES>>, lane: u32) {
    for (var i = 0u; i < VALUES; i += 4u) {
        for (var j = 0u; j < 4u; j++) {
            sums_parts[lane][j] = (*values)[min(i + j, VALUES - 1u)];
        }
        workgroupBarrier();
        var sum = vec4(0.0);
        for (var member = 0u; member < TEAM; member++) {
            sum += sums_parts[lane / TEAM * TEAM + member];
        }
        for (var j = 0u; j < min(4u, VALUES - i); j++) {
            (*values)[i + j] = sum[j];
        }
        workgroupBarrier();
    }
}

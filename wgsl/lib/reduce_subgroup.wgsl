// Sums over the lanes of a group, through subgroups of any width and any order of lanes. LANES is a power of two.

const_assert countOneBits(LANES) == 1u;

var<workgroup> reduce_parts: array<f32, LANES>;

// The sum of all lanes' values, in every lane. One lane of each subgroup leaves its sum, the others leave zero; then
// every subgroup adds up all that was left, so that no lane needs to know which subgroup it is in. All lanes must call it.
fn reduce_sum(value: f32, lane: u32) -> f32 {
    let sum = subgroupAdd(value);
    let place = subgroupExclusiveAdd(1u);
    let width = subgroupAdd(1u);
    reduce_parts[lane] = select(0.0, sum, place == 0u);
    workgroupBarrier();
    var left = 0.0;
    for (var at = place; at < LANES; at += width) {
        left += reduce_parts[at];
    }
    let total = subgroupAdd(left);
    workgroupBarrier();
    return total;
}

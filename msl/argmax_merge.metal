// tokens[r] = the id of the largest key of leaders[r], the least of equal ones; 2³² − 1 where a logit was NaN or none above −∞
// leaders [S, PARTS] of (key, id), tokens [S, 1]
// one group a row; a lane takes every LANES-th part
kernel void argmax_merge(
    device const uint* step [[buffer(0)]],
    device const uint2* leaders [[buffer(1)]],
    device uint* tokens [[buffer(2)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    threadgroup uint2 parts[LEADER_PARTS];
    const uint row = group.x;
    if (row >= row_count(step)) {
        return;
    }
    uint2 best = uint2(0, NONE);
    // Ids rise from part to part, so the first of equal keys has the lowest id.
    for (uint part = lane; part < PARTS; part += LANES) {
        const uint2 other = leaders[row * PARTS + part];
        if (other.x > best.x) {
            best = other;
        }
    }
    const uint2 found = leader(best, lane, parts);
    if (lane == 0) {
        tokens[row] = found.x == NONE ? NONE : found.y;
    }
}

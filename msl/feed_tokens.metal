// ids[r] ← tokens[r], position[r] ← position[r] + 1: a decode step becomes the one after it
// step: see lib/step.metal; tokens [S, 1]
// one group for all rows, each of which is a sequence of its own
kernel void feed_tokens(
    device uint* step [[buffer(0)]],
    device const uint* tokens [[buffer(1)]],
    uint lane [[thread_index_in_threadgroup]])
{
    for (uint row = lane; row < row_count(step); row += LANES) {
        step[STEP_IDS + row] = tokens[row];
        step[STEP_POSITION_OF + row] += 1;
        step[STEP_SPANS + 4 * step[STEP_SEQUENCE_OF + row] + 2] += 1;
    }
}

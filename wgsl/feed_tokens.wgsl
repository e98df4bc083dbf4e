// ids[r] ← tokens[r], position[r] ← position[r] + 1: a decode step becomes the one after it
// step: see lib/step.wgsl; tokens [S, 1]
// one group for all rows, each of which is a sequence of its own
@group(0) @binding(0) var<storage, read_write> step: array<u32>;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;

@compute @workgroup_size(LANES)
fn feed_tokens(@builtin(local_invocation_index) lane: u32) {
    for (var row = lane; row < row_count(); row += LANES) {
        step[STEP_IDS + row] = tokens[row];
        step[STEP_POSITION_OF + row] += 1u;
        step[STEP_SPANS + 4u * step[STEP_SEQUENCE_OF + row] + 2u] += 1u;
    }
}

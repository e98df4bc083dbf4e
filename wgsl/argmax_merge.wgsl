// tokens[r] = the id of the largest key of leaders[r], the least of equal ones; 2³² − 1 where a logit was NaN or none above −∞
// leaders [S, PARTS] of (key, id), tokens [S, 1]
// one group a row; a lane takes every LANES-th part
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> leaders: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;

@compute @workgroup_size(LANES)
fn argmax_merge(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= row_count() {
        return;
    }
    var best = vec2(0u, NONE);
    // Ids rise from part to part, so the first of equal keys has the lowest id.
    for (var part = lane; part < PARTS; part += LANES) {
        let other = leaders[row * PARTS + part];
        if other.x > best.x {
            best = other;
        }
    }
    let found = leader(best.x, best.y, lane);
    if lane == 0u {
        tokens[row] = select(found.y, NONE, found.x == NONE);
    }
}

// x[r] = table[ids[r] − first], for the ids that this part of the table holds
// table [count, WIDTH], x [T, WIDTH]
// one group a row; a lane copies every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<Quad_table>;
@group(0) @binding(2) var<storage, read_write> x: array<Quad_x>;

struct Params {
    first: u32,
    count: u32,
}
@group(0) @binding(3) var<uniform> params: Params;

const QUADS: u32 = WIDTH / 4u;

@compute @workgroup_size(LANES)
fn embed(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= row_count() {
        return;
    }
    // An id below `first` wraps around, and so is beyond `count` too.
    let id = token_id(row) - params.first;
    if id >= params.count {
        return;
    }
    for (var i = lane; i < QUADS; i += LANES) {
        x[row * QUADS + i] = pack_x(quad_table(id * QUADS + i));
    }
}

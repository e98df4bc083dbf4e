// y[r, i] = silu(x[r, i]) · x[r, WIDTH + i]
// x [T, 2·WIDTH], gate first, y [T, WIDTH]
// one group for LANES quads of a row, one to a lane
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Quad_x>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad_y>;

const QUADS: u32 = WIDTH / 4u;

@compute @workgroup_size(LANES)
fn silu_mul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.x * LANES + lane;
    let row = group.y;
    if row >= row_count() || i >= QUADS {
        return;
    }
    let gate = unpack_x(x[2u * row * QUADS + i]);
    let up = unpack_x(x[(2u * row + 1u) * QUADS + i]);
    y[row * QUADS + i] = pack_y(silu(gate) * up);
}

// y[i] = x[outputs[i]]: the rows that want logits
// x [T, WIDTH], y [S, WIDTH]
// one group an output; a lane copies every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Quad_x>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad_y>;

const QUADS: u32 = WIDTH / 4u;

@compute @workgroup_size(LANES)
fn gather_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let output = group.x;
    if output >= row_count() {
        return;
    }
    let row = output_row(output);
    for (var i = lane; i < QUADS; i += LANES) {
        y[output * QUADS + i] = pack_y(unpack_x(x[row * QUADS + i]));
    }
}

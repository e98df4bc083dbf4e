// y[r, i] = x[r, i] / sqrt(mean(x[r]²) + eps) · (1 + weight[i])
// x [T, WIDTH], weight [1, WIDTH], y [T, WIDTH]
// one group a row; a lane takes every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Quad_x>;
@group(0) @binding(2) var<storage, read> weight: array<Quad_weight>;
@group(0) @binding(3) var<storage, read_write> y: array<Quad_y>;

struct Params {
    eps: f32,
}
@group(0) @binding(4) var<uniform> params: Params;

const QUADS: u32 = WIDTH / 4u;

@compute @workgroup_size(LANES)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= row_count() {
        return;
    }
    let first = row * QUADS;
    var squares = vec4(0.0);
    for (var i = lane; i < QUADS; i += LANES) {
        let value = unpack_x(x[first + i]);
        squares = fma(value, value, squares);
    }
    let sum = reduce_sum((squares.x + squares.y) + (squares.z + squares.w), lane);
    let scale = inverseSqrt(sum / f32(WIDTH) + params.eps);
    for (var i = lane; i < QUADS; i += LANES) {
        let value = unpack_x(x[first + i]);
        y[first + i] = pack_y(value * scale * (1.0 + unpack_weight(weight[i])));
    }
}

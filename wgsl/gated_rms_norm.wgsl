// y[r, h] = o[r, h] / sqrt(mean(o[r, h]²) + eps) · weight · silu(z[r, h]): a plain norm, then the gate
// o [T, Hv·Dv], x [T, STRIDE] with z from column Z on, weight [1, Dv], y [T, Hv·Dv]
// one group a value head and row; a lane takes every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> o: array<Quad_o>;
@group(0) @binding(2) var<storage, read> x: array<Quad_x>;
@group(0) @binding(3) var<storage, read> weight: array<Quad_weight>;
@group(0) @binding(4) var<storage, read_write> y: array<Quad_y>;

struct Params {
    eps: f32,
}
@group(0) @binding(5) var<uniform> params: Params;

const QUADS: u32 = VALUE_WIDTH / 4u;

@compute @workgroup_size(LANES)
fn gated_rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let row = group.y;
    if row >= row_count() {
        return;
    }
    let first = (row * VALUE_HEADS + head) * QUADS;
    let gate = row * (STRIDE / 4u) + Z / 4u + head * QUADS;
    var squares = vec4(0.0);
    for (var i = lane; i < QUADS; i += LANES) {
        let value = unpack_o(o[first + i]);
        squares = fma(value, value, squares);
    }
    let sum = reduce_sum((squares.x + squares.y) + (squares.z + squares.w), lane);
    let scale = inverseSqrt(sum / f32(VALUE_WIDTH) + params.eps);
    for (var i = lane; i < QUADS; i += LANES) {
        let normed = unpack_o(o[first + i]) * scale * unpack_weight(weight[i]);
        y[first + i] = pack_y(normed * silu(unpack_x(x[gate + i])));
    }
}

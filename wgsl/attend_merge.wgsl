// out[r, h] = Σ_i exp(m_i − m) · sum_i / Σ_i exp(m_i − m) · weight_i · sigmoid(gate[r, h]), over the splits i
// sums [S, Hq·SPLITS·D], stats [S, Hq·SPLITS·2] of (m, weight), x [S, STRIDE] with each gate behind its query, out [S, Hq·D]
// one group a query head and row; a lane takes every LANES-th quad
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> sums: array<Quad_sums>;
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> x: array<Quad_x>;
@group(0) @binding(4) var<storage, read_write> out: array<Quad_out>;

const QUADS: u32 = HEAD / 4u;

@compute @workgroup_size(LANES)
fn attend_merge(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    let row = group.y;
    if row >= live() {
        return;
    }
    let first = (row * Q_HEADS + head) * SPLITS;
    var largest = stats[first].x;
    for (var i = 1u; i < SPLITS; i++) {
        largest = max(largest, stats[first + i].x);
    }
    let gate = row * (STRIDE / 4u) + (2u * head + 1u) * QUADS;
    for (var quad = lane; quad < QUADS; quad += LANES) {
        var weight = 0.0;
        var sum = vec4(0.0);
        for (var i = 0u; i < SPLITS; i++) {
            let stat = stats[first + i];
            // A split without positions weighs nothing, whatever its largest score stands for.
            let scale = select(exp(stat.x - largest), 0.0, stat.y == 0.0);
            weight = fma(scale, stat.y, weight);
            sum = fma(vec4(scale), unpack_sums(sums[(first + i) * QUADS + quad]), sum);
        }
        let gated = sum / weight * sigmoid(unpack_x(x[gate + quad]));
        out[(row * Q_HEADS + head) * QUADS + quad] = pack_out(gated);
    }
}

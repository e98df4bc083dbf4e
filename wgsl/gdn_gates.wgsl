// decay[t, h] = −exp(a_log[h]) · softplus(a[t, h] + dt_bias[h]) (a logarithm), rate[t, h] = sigmoid(b[t, h])
// x [T, STRIDE] with b and then a in its last columns, a_log, dt_bias [1, Hv], gates [T, 2·Hv]: decays, then rates
// one group a row; a lane takes every LANES-th head
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a_log: array<Quad_a_log>;
@group(0) @binding(3) var<storage, read> dt_bias: array<Quad_dt_bias>;
@group(0) @binding(4) var<storage, read_write> gates: array<f32>;

@compute @workgroup_size(LANES)
fn gdn_gates(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if row >= live() {
        return;
    }
    let b = (row + 1u) * STRIDE - 2u * VALUE_HEADS;
    let a = b + VALUE_HEADS;
    let decays = row * 2u * VALUE_HEADS;
    for (var head = lane; head < VALUE_HEADS; head += LANES) {
        let speed = exp(unpack_a_log(a_log[head / 4u])[head % 4u]);
        let bias = unpack_dt_bias(dt_bias[head / 4u])[head % 4u];
        gates[decays + head] = -speed * softplus(x[a + head] + bias);
        gates[decays + VALUE_HEADS + head] = sigmoid(vec4(x[b + head])).x;
    }
}

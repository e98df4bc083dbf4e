// decay[t, h] = −exp(a_log[h]) · softplus(a[t, h] + dt_bias[h]) (a logarithm), rate[t, h] = sigmoid(b[t, h])
// x [T, STRIDE] with b and then a in its last columns, a_dt [2, Hv] of a_log and dt_bias, gates [T, 2·Hv]: decays, then rates
// one group a row; a lane takes every LANES-th head
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a_dt: array<f32>;
@group(0) @binding(3) var<storage, read_write> gates: array<f32>;

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
        gates[decays + head] = -exp(a_dt[head]) * softplus(x[a + head] + a_dt[VALUE_HEADS + head]);
        gates[decays + VALUE_HEADS + head] = sigmoid(vec4(x[b + head])).x;
    }
}

// decay[t, h] = −exp(a_log[h]) · softplus(a[t, h] + dt_bias[h]) (a logarithm), rate[t, h] = sigmoid(b[t, h])
// x [T, STRIDE] with b and then a in its last columns, a_dt [2, Hv] of a_log and dt_bias, gates [T, 2·Hv]: decays, then rates
// one group a row; a lane takes every LANES-th head
kernel void gdn_gates(
    device const uint* step [[buffer(0)]],
    device const float* x [[buffer(1)]],
    device const float* a_dt [[buffer(2)]],
    device float* gates [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_threadgroup]])
{
    const uint row = group.x;
    if (row >= live(step)) {
        return;
    }
    device const float* b = x + (row + 1) * STRIDE - 2 * VALUE_HEADS;
    device const float* a = b + VALUE_HEADS;
    device float* decays = gates + row * 2 * VALUE_HEADS;
    device float* rates = decays + VALUE_HEADS;
    for (uint head = lane; head < VALUE_HEADS; head += LANES) {
        decays[head] = -exp(a_dt[head]) * softplus(a[head] + a_dt[VALUE_HEADS + head]);
        rates[head] = sigmoid(b[head]);
    }
}

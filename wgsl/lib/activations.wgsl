// Activations of quads. Neither side overflows, and NaN stays NaN.

// 1 / (1 + exp(-a)). The exponential takes negative numbers only.
fn sigmoid(a: vec4<f32>) -> vec4<f32> {
    let small = exp(-abs(a));
    return select(small, vec4(1.0), a >= vec4(0.0)) / (1.0 + small);
}

// a / (1 + exp(-a))
fn silu(a: vec4<f32>) -> vec4<f32> {
    return a * sigmoid(a);
}

// ln(1 + exp(a)). ln(1 + e) is 2 atanh(e / (2 + e)): its series keeps the digits that 1 + e would drop.
fn softplus(a: f32) -> f32 {
    let small = exp(-abs(a));
    let ratio = small / (2.0 + small);
    let square = ratio * ratio;
    var series = 1.0 / 15.0;
    series = fma(series, square, 1.0 / 13.0);
    series = fma(series, square, 1.0 / 11.0);
    series = fma(series, square, 1.0 / 9.0);
    series = fma(series, square, 1.0 / 7.0);
    series = fma(series, square, 1.0 / 5.0);
    series = fma(series, square, 1.0 / 3.0);
    series = fma(series, square, 1.0);
    return max(a, 0.0) + 2.0 * ratio * series;
}

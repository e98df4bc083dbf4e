// Activations of numbers or quads. Neither side overflows, and NaN stays NaN.

// 1 / (1 + exp(-a)). The exponential takes negative numbers only.
template <typename T> inline T sigmoid(T a) {
    const T small = exp(-abs(a));
    return select(small, T(1.0f), a >= T(0.0f)) / (T(1.0f) + small);
}

// a / (1 + exp(-a))
template <typename T> inline T silu(T a) {
    return a * sigmoid(a);
}

// ln(1 + exp(a)). ln(1 + e) is 2 atanh(e / (2 + e)): its series keeps the digits that 1 + e would drop.
inline float softplus(float a) {
    const float small = exp(-abs(a));
    const float ratio = small / (2.0f + small);
    const float square = ratio * ratio;
    float series = 1.0f / 15.0f;
    series = fma(series, square, 1.0f / 13.0f);
    series = fma(series, square, 1.0f / 11.0f);
    series = fma(series, square, 1.0f / 9.0f);
    series = fma(series, square, 1.0f / 7.0f);
    series = fma(series, square, 1.0f / 5.0f);
    series = fma(series, square, 1.0f / 3.0f);
    series = fma(series, square, 1.0f);
    return max(a, 0.0f) + 2.0f * ratio * series;
}

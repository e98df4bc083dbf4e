// What is done to quads.

// before + Σ a · b, element after element.
inline float dot_quad(float4 a, float4 b, float before) {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, before))));
}

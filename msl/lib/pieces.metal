// Operations on quads.

// before + Σ a · b, in order of the elements.
inline float dot_quad(float4 a, float4 b, float before) {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, before))));
}

// Common, integer, relational, math and geometric functions (MSL 3.1, sections 6.2 to 6.5 and 6.8).
//
// Each is overloaded for the types of MSL, not a template: `min(lane, 4)` of an unsigned and a signed number is
// ambiguous here as in MSL. Math is that of the C library, which is at least as exact as a GPU's.
#pragma once
#include "numbers.h"

namespace metal {
#define TO_VECTORS(OF, T) OF(T, 2) OF(T, 3) OF(T, 4)
#define INTEGERS(OF) OF(char) OF(uchar) OF(short) OF(ushort) OF(int) OF(uint) OF(long) OF(ulong)

// A function of one, two or three arguments of one type, element by element.
#define EACH_1(name, T, N)                                                                                             \
    inline T##N name(T##N x) {                                                                                         \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = name(T(x[i]));                                                                                      \
        return r;                                                                                                      \
    }
#define EACH_2(name, T, N)                                                                                             \
    inline T##N name(T##N x, T##N y) {                                                                                 \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = name(T(x[i]), T(y[i]));                                                                             \
        return r;                                                                                                      \
    }
#define EACH_3(name, T, N)                                                                                             \
    inline T##N name(T##N x, T##N y, T##N z) {                                                                         \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = name(T(x[i]), T(y[i]), T(z[i]));                                                                    \
        return r;                                                                                                      \
    }
#define WIDEN_1(name, T) EACH_1(name, T, 2) EACH_1(name, T, 3) EACH_1(name, T, 4)
#define WIDEN_2(name, T) EACH_2(name, T, 2) EACH_2(name, T, 3) EACH_2(name, T, 4)
#define WIDEN_3(name, T) EACH_3(name, T, 2) EACH_3(name, T, 3) EACH_3(name, T, 4)

#ifdef STRICT
#define MATH_1(name, expression) float name(float x); half name(half x); WIDEN_1(name, float) WIDEN_1(name, half)
#define MATH_2(name, expression)                                                                                       \
    float name(float x, float y);                                                                                      \
    half name(half x, half y);                                                                                         \
    WIDEN_2(name, float) WIDEN_2(name, half)
#define MATH_3(name, expression)                                                                                       \
    float name(float x, float y, float z);                                                                             \
    half name(half x, half y, half z);                                                                                 \
    WIDEN_3(name, float) WIDEN_3(name, half)
#else
#define MATH_1(name, expression)                                                                                       \
    inline float name(float x) { return expression; }                                                                  \
    inline half name(half x) { return half(name(float(x))); }                                                          \
    WIDEN_1(name, float) WIDEN_1(name, half)
#define MATH_2(name, expression)                                                                                       \
    inline float name(float x, float y) { return expression; }                                                         \
    inline half name(half x, half y) { return half(name(float(x), float(y))); }                                        \
    WIDEN_2(name, float) WIDEN_2(name, half)
#define MATH_3(name, expression)                                                                                       \
    inline float name(float x, float y, float z) { return expression; }                                                \
    inline half name(half x, half y, half z) { return half(name(float(x), float(y), float(z))); }                      \
    WIDEN_3(name, float) WIDEN_3(name, half)
#endif

// Section 6.5, math functions.
MATH_1(exp, __builtin_expf(x))
MATH_1(exp2, __builtin_exp2f(x))
MATH_1(exp10, __builtin_powf(10.0f, x))
MATH_1(log, __builtin_logf(x))
MATH_1(log2, __builtin_log2f(x))
MATH_1(log10, __builtin_log10f(x))
MATH_1(sqrt, __builtin_sqrtf(x))
MATH_1(rsqrt, 1.0f / __builtin_sqrtf(x))
MATH_1(sin, __builtin_sinf(x))
MATH_1(cos, __builtin_cosf(x))
MATH_1(tan, __builtin_tanf(x))
MATH_1(sinh, __builtin_sinhf(x))
MATH_1(cosh, __builtin_coshf(x))
MATH_1(tanh, __builtin_tanhf(x))
MATH_1(asin, __builtin_asinf(x))
MATH_1(acos, __builtin_acosf(x))
MATH_1(atan, __builtin_atanf(x))
MATH_1(floor, __builtin_floorf(x))
MATH_1(ceil, __builtin_ceilf(x))
MATH_1(round, __builtin_roundf(x))
MATH_1(rint, __builtin_rintf(x))
MATH_1(trunc, __builtin_truncf(x))
MATH_1(fabs, __builtin_fabsf(x))
MATH_1(abs, __builtin_fabsf(x))
MATH_1(fract, __builtin_fminf(x - __builtin_floorf(x), 0x1.fffffep-1f))
MATH_2(pow, __builtin_powf(x, y))
MATH_2(powr, __builtin_powf(x, y))
MATH_2(fmod, __builtin_fmodf(x, y))
MATH_2(atan2, __builtin_atan2f(x, y))
MATH_2(copysign, __builtin_copysignf(x, y))
MATH_2(fmin, __builtin_fminf(x, y))
MATH_2(fmax, __builtin_fmaxf(x, y))
MATH_2(min, __builtin_fminf(x, y))
MATH_2(max, __builtin_fmaxf(x, y))
MATH_2(fdim, x > y ? x - y : 0.0f)
MATH_2(step, y < x ? 0.0f : 1.0f)
MATH_3(fma, __builtin_fmaf(x, y, z))
MATH_3(clamp, __builtin_fminf(__builtin_fmaxf(x, y), z))

#ifndef STRICT
#define SIGN(x) ((x) > 0 ? 1.0f : (x) < 0 ? -1.0f : (x) == 0 ? (x) : 0.0f)
#else
#define SIGN(x)
#endif
// Section 6.2, common functions.
MATH_1(sign, SIGN(x))
MATH_1(saturate, __builtin_fminf(__builtin_fmaxf(x, 0.0f), 1.0f))
MATH_3(mix, x + (y - x) * z)
#ifndef STRICT
inline float smoothstep(float low, float high, float x) {
    float t = saturate((x - low) / (high - low));
    return t * t * (3.0f - 2.0f * t);
}
inline half smoothstep(half low, half high, half x) { return half(smoothstep(float(low), float(high), float(x))); }
#else
float smoothstep(float low, float high, float x);
half smoothstep(half low, half high, half x);
#endif
WIDEN_3(smoothstep, float) WIDEN_3(smoothstep, half)

#define LDEXP(T, N)                                                                                                    \
    inline T##N ldexp(T##N x, int##N e) {                                                                              \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = ldexp(T(x[i]), e[i]);                                                                               \
        return r;                                                                                                      \
    }
inline float ldexp(float x, int e) { return __builtin_ldexpf(x, e); }
inline half ldexp(half x, int e) { return half(__builtin_ldexpf(float(x), e)); }
TO_VECTORS(LDEXP, float) TO_VECTORS(LDEXP, half)

// Section 6.3, integer functions.
#define INTEGER(T)                                                                                                     \
    inline T min(T x, T y) { return y < x ? y : x; }                                                                   \
    inline T max(T x, T y) { return x < y ? y : x; }                                                                   \
    inline T clamp(T x, T low, T high) { return min(max(x, low), high); }                                              \
    inline T abs(T x) { return x < T(0) ? T(-x) : x; }                                                                 \
    inline T absdiff(T x, T y) { return x < y ? T(y - x) : T(x - y); }                                                 \
    inline T popcount(T x) {                                                                                           \
        T n = 0;                                                                                                       \
        for (uint i = 0; i < 8 * sizeof(T); i++)                                                                       \
            n += T((x >> i) & 1);                                                                                      \
        return n;                                                                                                      \
    }                                                                                                                  \
    inline T clz(T x) {                                                                                                \
        T n = 0;                                                                                                       \
        for (int i = 8 * sizeof(T) - 1; i >= 0 && !((x >> i) & 1); i--)                                                \
            n++;                                                                                                       \
        return n;                                                                                                      \
    }                                                                                                                  \
    inline T ctz(T x) {                                                                                                \
        T n = 0;                                                                                                       \
        for (uint i = 0; i < 8 * sizeof(T) && !((x >> i) & 1); i++)                                                    \
            n++;                                                                                                       \
        return n;                                                                                                      \
    }                                                                                                                  \
    inline T reverse_bits(T x) {                                                                                       \
        T r = 0;                                                                                                       \
        for (uint i = 0; i < 8 * sizeof(T); i++)                                                                       \
            r = T((r << 1) | ((x >> i) & 1));                                                                          \
        return r;                                                                                                      \
    }                                                                                                                  \
    inline T extract_bits(T x, uint offset, uint bits) {                                                               \
        constexpr uint size = 8 * sizeof(T);                                                                           \
        return bits == 0 ? T(0) : T(T(x << (size - bits - offset)) >> (size - bits));                                  \
    }                                                                                                                  \
    inline T insert_bits(T base, T insert, uint offset, uint bits) {                                                   \
        ulong mask = ((bits >= 64 ? 0ul : 1ul << bits) - 1ul) << offset;                                               \
        return T((ulong(base) & ~mask) | ((ulong(insert) << offset) & mask));                                          \
    }                                                                                                                  \
    WIDEN_2(min, T)                                                                                                    \
    WIDEN_2(max, T)                                                                                                    \
    WIDEN_2(absdiff, T)                                                                                                \
    WIDEN_3(clamp, T)                                                                                                  \
    WIDEN_1(abs, T)                                                                                                    \
    WIDEN_1(popcount, T)                                                                                               \
    WIDEN_1(clz, T)                                                                                                    \
    WIDEN_1(ctz, T)                                                                                                    \
    WIDEN_1(reverse_bits, T)                                                                                           \
    TO_VECTORS(BITS, T)
#define BITS(T, N)                                                                                                     \
    inline T##N extract_bits(T##N x, uint offset, uint bits) {                                                         \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = extract_bits(T(x[i]), offset, bits);                                                                \
        return r;                                                                                                      \
    }                                                                                                                  \
    inline T##N insert_bits(T##N base, T##N insert, uint offset, uint bits) {                                          \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = insert_bits(T(base[i]), T(insert[i]), offset, bits);                                                \
        return r;                                                                                                      \
    }
INTEGERS(INTEGER)
inline uint mulhi(uint x, uint y) { return uint((ulong(x) * y) >> 32); }
inline int mulhi(int x, int y) { return int((long(x) * y) >> 32); }
inline uint rotate(uint x, uint by) { return (x << (by & 31)) | (x >> (-by & 31)); }
inline uint madhi(uint x, uint y, uint z) { return mulhi(x, y) + z; }

// Section 6.4, relational functions.
#define RELATE(T, N)                                                                                                   \
    inline bool##N isnan(T##N x) {                                                                                     \
        bool##N r;                                                                                                     \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = -int(isnan(T(x[i])));                                                                               \
        return r;                                                                                                      \
    }                                                                                                                  \
    inline bool##N isinf(T##N x) {                                                                                     \
        bool##N r;                                                                                                     \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = -int(isinf(T(x[i])));                                                                               \
        return r;                                                                                                      \
    }                                                                                                                  \
    inline bool##N isfinite(T##N x) {                                                                                  \
        bool##N r;                                                                                                     \
        for (int i = 0; i < N; i++)                                                                                    \
            r[i] = -int(isfinite(T(x[i])));                                                                            \
        return r;                                                                                                      \
    }
inline bool isnan(float x) { return (as_type<uint>(x) & 0x7fffffffu) > 0x7f800000u; }
inline bool isinf(float x) { return (as_type<uint>(x) & 0x7fffffffu) == 0x7f800000u; }
inline bool isfinite(float x) { return (as_type<uint>(x) & 0x7f800000u) != 0x7f800000u; }
inline bool isnan(half x) { return isnan(float(x)); }
inline bool isinf(half x) { return isinf(float(x)); }
inline bool isfinite(half x) { return isfinite(float(x)); }
TO_VECTORS(RELATE, float) TO_VECTORS(RELATE, half)
#define SELECT(T)                                                                                                      \
    inline T select(T no, T yes, bool which) { return which ? yes : no; }                                              \
    TO_VECTORS(SELECT_EACH, T)
#define SELECT_EACH(T, N)                                                                                              \
    template <class M> inline T##N select(T##N no, T##N yes, M which) {                                                \
        static_assert(is_same_v<M, bool> || int(shape<M>::size) == N, "a choice for each element");                    \
        T##N r;                                                                                                        \
        for (int i = 0; i < N; i++) {                                                                                  \
            if constexpr (is_same_v<M, bool>)                                                                          \
                r[i] = which ? yes[i] : no[i];                                                                         \
            else                                                                                                       \
                r[i] = which[i] != 0 ? yes[i] : no[i];                                                                 \
        }                                                                                                              \
        return r;                                                                                                      \
    }
INTEGERS(SELECT) SELECT(half) SELECT(float)
inline bool select(bool no, bool yes, bool which) { return which ? yes : no; }
inline bool any(bool x) { return x; }
inline bool all(bool x) { return x; }
template <class M, class = enable_if_t<(shape<M>::size > 1)>> inline bool any(M x) {
    bool r = false;
    for (int i = 0; i < shape<M>::size; i++)
        r = r || x[i] != 0;
    return r;
}
template <class M, class = enable_if_t<(shape<M>::size > 1)>> inline bool all(M x) {
    bool r = true;
    for (int i = 0; i < shape<M>::size; i++)
        r = r && x[i] != 0;
    return r;
}

// Section 6.8, geometric functions. A dot product adds the elements in order.
#define GEOMETRY(T, N)                                                                                                 \
    inline T dot(T##N x, T##N y) {                                                                                     \
        T sum = x[0] * y[0];                                                                                           \
        for (int i = 1; i < N; i++)                                                                                    \
            sum += x[i] * y[i];                                                                                        \
        return sum;                                                                                                    \
    }                                                                                                                  \
    inline T length_squared(T##N x) { return dot(x, x); }                                                              \
    inline T length(T##N x) { return sqrt(dot(x, x)); }                                                                \
    inline T distance(T##N x, T##N y) { return length(x - y); }                                                        \
    inline T##N normalize(T##N x) { return x * rsqrt(dot(x, x)); }
TO_VECTORS(GEOMETRY, float) TO_VECTORS(GEOMETRY, half)
inline float3 cross(float3 x, float3 y) { return x.yzx * y.zxy - x.zxy * y.yzx; }

// Section 6.5: the fast and precise variants of a function are the same here.
namespace fast { using namespace metal; }
namespace precise { using namespace metal; }
}

// Named numbers (MSL 3.1, sections 6.5 and 2.1): limits and constants.
#pragma once
#include "vectors.h"

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define HUGE_VALF __builtin_inff()
#define MAXFLOAT __FLT_MAX__
#define FLT_MAX __FLT_MAX__
#define FLT_MIN __FLT_MIN__
#define FLT_EPSILON __FLT_EPSILON__
#define MAXHALF half(65504.0f)
#define HALF_MAX half(65504.0f)
#define HALF_MIN half(6.103515625e-5f)
#define HALF_EPSILON half(9.765625e-4f)
#define M_E_F 2.71828182845904523536f
#define M_PI_F 3.14159265358979323846f
#define M_LN2_F 0.693147180559945309417f
#define M_LOG2E_F 1.44269504088896340736f
#define M_SQRT2_F 1.41421356237309504880f
#define CHAR_MAX 127
#define UCHAR_MAX 255
#define SHRT_MAX 32767
#define USHRT_MAX 65535
#define INT_MAX 2147483647
#define INT_MIN (-2147483647 - 1)
#define UINT_MAX 4294967295u

namespace metal {
template <class T> struct numeric_limits;
#define FLOAT_LIMITS(T, largest, smallest, step)                                                                       \
    template <> struct numeric_limits<T> {                                                                             \
        static constexpr T max() { return T(largest); }                                                                \
        static constexpr T lowest() { return T(-(largest)); }                                                          \
        static constexpr T min() { return T(smallest); }                                                               \
        static constexpr T epsilon() { return T(step); }                                                               \
        static constexpr T infinity() { return T(__builtin_inff()); }                                                  \
        static constexpr T quiet_NaN() { return T(__builtin_nanf("")); }                                               \
    };
FLOAT_LIMITS(float, __FLT_MAX__, __FLT_MIN__, __FLT_EPSILON__)
FLOAT_LIMITS(half, 65504.0f, 6.103515625e-5f, 9.765625e-4f)
#define INT_LIMITS(T, largest, smallest)                                                                               \
    template <> struct numeric_limits<T> {                                                                             \
        static constexpr T max() { return largest; }                                                                   \
        static constexpr T lowest() { return smallest; }                                                               \
        static constexpr T min() { return smallest; }                                                                  \
    };
INT_LIMITS(int, INT_MAX, INT_MIN)
INT_LIMITS(uint, UINT_MAX, 0)
INT_LIMITS(short, 32767, -32768)
INT_LIMITS(ushort, 65535, 0)
INT_LIMITS(char, 127, -128)
INT_LIMITS(uchar, 255, 0)
}

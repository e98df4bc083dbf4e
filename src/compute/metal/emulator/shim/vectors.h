// Scalars, vectors, their constructors and conversions (MSL 3.1, sections 2.1, 2.2 and 2.19).
//
// clang's extended vectors have the operators and swizzles of MSL, but no constructors: the translation writes
// `make<float4>(a, b)` for `float4(a, b)`. A comparison gives integers, 0 or −1. The vectors of `bool` here do so too,
// and `select`, `any` and `all` take them.
#pragma once
#include "spaces.h"

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef uchar uint8_t;
typedef short int16_t;
typedef ushort uint16_t;
typedef int int32_t;
typedef uint uint32_t;
typedef long int64_t;
typedef ulong uint64_t;
typedef ulong size_t;
typedef long ptrdiff_t;

#define VECTORS(T)                                                                                                     \
    typedef T T##2 __attribute__((ext_vector_type(2)));                                                               \
    typedef T T##3 __attribute__((ext_vector_type(3)));                                                               \
    typedef T T##4 __attribute__((ext_vector_type(4)));
VECTORS(char)
VECTORS(uchar)
VECTORS(short)
VECTORS(ushort)
VECTORS(int)
VECTORS(uint)
VECTORS(long)
VECTORS(ulong)
VECTORS(half)
VECTORS(float)
#ifndef STRICT
VECTORS(bfloat)
#endif
typedef int2 bool2;
typedef int3 bool3;
typedef int4 bool4;

// Packed vectors (section 2.2.3) are aligned only to their element size.
#define PACKED(T)                                                                                                      \
    typedef T packed_##T##2 __attribute__((ext_vector_type(2), aligned(sizeof(T))));                                  \
    typedef T packed_##T##4 __attribute__((ext_vector_type(4), aligned(sizeof(T))));                                  \
    struct packed_##T##3 {                                                                                            \
        T x, y, z;                                                                                                     \
        packed_##T##3() = default;                                                                                     \
        packed_##T##3(T##3 v) : x(v.x), y(v.y), z(v.z) {}                                                              \
        operator T##3() const { return T##3{x, y, z}; }                                                                \
        T operator[](int at) const { return at == 0 ? x : at == 1 ? y : z; }                                           \
    };
PACKED(char)
PACKED(uchar)
PACKED(short)
PACKED(ushort)
PACKED(int)
PACKED(uint)
PACKED(half)
PACKED(float)

namespace metal {
#define NAMES(T) using ::T##2; using ::T##3; using ::T##4;
NAMES(bool) NAMES(char) NAMES(uchar) NAMES(short) NAMES(ushort) NAMES(int) NAMES(uint) NAMES(long) NAMES(ulong)
NAMES(half) NAMES(float) NAMES(packed_char) NAMES(packed_uchar) NAMES(packed_short) NAMES(packed_ushort)
NAMES(packed_int) NAMES(packed_uint) NAMES(packed_half) NAMES(packed_float)
using ::uint;
using ::ushort;
using ::uchar;
using ::ulong;
using ::size_t;

// The element type and the number of elements.
template <class T> struct shape {
    typedef T element;
    enum { size = 1 };
};
template <class T, int N> struct vector_of;
#define SHAPE(T, N)                                                                                                    \
    template <> struct shape<T##N> {                                                                                   \
        typedef T element;                                                                                             \
        enum { size = N };                                                                                             \
    };                                                                                                                 \
    template <> struct vector_of<T, N> {                                                                               \
        typedef T##N type;                                                                                             \
    };
#define SHAPES(T) SHAPE(T, 2) SHAPE(T, 3) SHAPE(T, 4)
SHAPES(char)
SHAPES(uchar)
SHAPES(short)
SHAPES(ushort)
SHAPES(int)
SHAPES(uint)
SHAPES(long)
SHAPES(ulong)
SHAPES(half)
SHAPES(float)
#ifndef STRICT
SHAPES(bfloat)
#endif
template <class T, int N> using vec = typename vector_of<T, N>::type;

// One argument: a scalar for all elements, or a vector of equal length, converted element by element.
template <class T, class A> inline T make_one(A value) {
    if constexpr (shape<T>::size == 1) {
        return static_cast<T>(value);
    } else if constexpr (shape<A>::size == 1 && __is_class(A)) {
        // A packed vector.
        return value;
    } else if constexpr (shape<A>::size == 1) {
        T all = static_cast<typename shape<T>::element>(value);
        return all;
    } else {
        static_assert(int(shape<T>::size) == int(shape<A>::size), "a vector of another size");
        return __builtin_convertvector(value, T);
    }
}
template <class T, class A> inline void put(thread T& into, thread int& at, A value) {
    if constexpr (shape<A>::size == 1) {
        into[at++] = static_cast<typename shape<T>::element>(value);
    } else {
        for (int i = 0; i < shape<A>::size; i++)
            into[at++] = static_cast<typename shape<T>::element>(value[i]);
    }
}
template <class T> inline T make() { return T{}; }
template <class T, class A> inline T make(A value) { return make_one<T>(value); }
template <class T, class A, class B, class... C> inline T make(A a, B b, C... c) {
    constexpr int given = shape<A>::size + shape<B>::size + (int(shape<C>::size) + ... + 0);
    static_assert(given == shape<T>::size, "a constructor with too few or too many elements");
    T result;
    int at = 0;
    put(result, at, a);
    put(result, at, b);
    (put(result, at, c), ...);
    return result;
}

template <class T, class A> inline T as_type(A value) {
    static_assert(sizeof(T) == sizeof(A), "as_type between sizes that differ");
    return __builtin_bit_cast(T, value);
}

template <class A, class B> struct is_same { enum { value = 0 }; };
template <class A> struct is_same<A, A> { enum { value = 1 }; };
template <class A, class B> constexpr bool is_same_v = is_same<A, B>::value;
template <bool, class A, class> struct conditional { typedef A type; };
template <class A, class B> struct conditional<false, A, B> { typedef B type; };
template <bool C, class A, class B> using conditional_t = typename conditional<C, A, B>::type;
template <bool, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> { typedef T type; };
template <bool C, class T = void> using enable_if_t = typename enable_if<C, T>::type;
}

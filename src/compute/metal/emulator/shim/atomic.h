// Atomic types and functions (MSL 3.1, sections 2.6 and 6.15), all relaxed. Workgroups run on several threads, so these
// are real atomics.
#pragma once
#include "math.h"

namespace metal {
enum memory_order { memory_order_relaxed = 0 };

template <class T> struct atomic_of {
    T value;
#ifndef STRICT
    atomic_of() = default;
    atomic_of(const atomic_of&) = delete;
#endif
};
template <class T> using atomic = atomic_of<T>;

#ifdef STRICT
#define ATOMICS(space)                                                                                                 \
    template <class T, class U> void atomic_store_explicit(volatile space atomic_of<T>* at, U value, memory_order);    \
    template <class T> T atomic_load_explicit(const volatile space atomic_of<T>* at, memory_order);                    \
    template <class T, class U> T atomic_exchange_explicit(volatile space atomic_of<T>* at, U value, memory_order);    \
    template <class T, class U>                                                                                        \
    bool atomic_compare_exchange_weak_explicit(volatile space atomic_of<T>* at, thread T* expected, U value,           \
                                               memory_order, memory_order);                                            \
    ATOMIC_FETCH(space, add) ATOMIC_FETCH(space, sub) ATOMIC_FETCH(space, min) ATOMIC_FETCH(space, max)                \
    ATOMIC_FETCH(space, and) ATOMIC_FETCH(space, or) ATOMIC_FETCH(space, xor)
#define ATOMIC_FETCH(space, name)                                                                                      \
    template <class T, class U> T atomic_fetch_##name##_explicit(volatile space atomic_of<T>* at, U value, memory_order);
IN_EACH_SPACE(ATOMICS)
#else
template <class T, class U> inline void atomic_store_explicit(volatile atomic_of<T>* at, U value, memory_order) {
    T stored = T(value);
    __atomic_store(&at->value, &stored, __ATOMIC_RELAXED);
}
template <class T> inline T atomic_load_explicit(const volatile atomic_of<T>* at, memory_order) {
    T loaded;
    __atomic_load(&at->value, &loaded, __ATOMIC_RELAXED);
    return loaded;
}
template <class T, class U> inline T atomic_exchange_explicit(volatile atomic_of<T>* at, U value, memory_order) {
    T stored = T(value), before;
    __atomic_exchange(&at->value, &stored, &before, __ATOMIC_RELAXED);
    return before;
}
template <class T, class U>
inline bool atomic_compare_exchange_weak_explicit(volatile atomic_of<T>* at, T* expected, U value, memory_order,
                                                  memory_order) {
    T stored = T(value);
    return __atomic_compare_exchange(&at->value, expected, &stored, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
#define ATOMIC_FETCH(name, expression)                                                                                 \
    template <class T, class U> inline T atomic_fetch_##name##_explicit(volatile atomic_of<T>* at, U value, memory_order order) { \
        T x = atomic_load_explicit(at, order), y = T(value), z = expression;                                           \
        while (!__atomic_compare_exchange(&at->value, &x, &z, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))               \
            z = expression;                                                                                            \
        return x;                                                                                                      \
    }
ATOMIC_FETCH(add, T(x + y))
ATOMIC_FETCH(sub, T(x - y))
ATOMIC_FETCH(min, y < x ? y : x)
ATOMIC_FETCH(max, x < y ? y : x)
ATOMIC_FETCH(and, T(x & y))
ATOMIC_FETCH(or, T(x | y))
ATOMIC_FETCH(xor, T(x ^ y))
#endif
// Separate names, because OpenCL has types of the same names.
#define atomic_int atomic_of_int
#define atomic_uint atomic_of_uint
#define atomic_ulong atomic_of_ulong
#define atomic_float atomic_of_float
#define atomic_bool atomic_of_bool
typedef atomic_of<int> atomic_int;
typedef atomic_of<uint> atomic_uint;
typedef atomic_of<ulong> atomic_ulong;
typedef atomic_of<float> atomic_float;
typedef atomic_of<bool> atomic_bool;
}

// Synchronization, SIMD-group and quad-group functions (MSL 3.1, section 6.9).
//
// Each takes the location of its call as a hidden argument: lanes that meet must meet at the same call.
#pragma once
#include "math.h"

namespace metal {
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
inline mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(int(a) | int(b)); }

#ifdef STRICT
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
#define FOLD(name, expression) template <class T> T name(T value);
#define MOVE(name, condition, from)                                                                                    \
    template <class T> T name(T value, ushort by);
#define SIMD_BOOL(name) bool name(bool value);
class simd_vote {
public:
    explicit operator ulong() const;
    bool all() const;
    bool any() const;
};
simd_vote simd_ballot(bool value);
simd_vote simd_active_threads_mask();
template <class T> T simd_broadcast_first(T value);
bool simd_is_first();
#else
constexpr half operator""h(long double value) { return half(value); }
#define AT emulator::Site site = emulator::site(__builtin_LINE(), __builtin_COLUMN())

// Section 6.9.1.
inline void threadgroup_barrier(mem_flags flags, AT) { emulator::group_barrier(int(flags), site); }
inline void simdgroup_barrier(mem_flags, AT) { emulator::simd_barrier(site); }

// Section 6.9.2. The lanes of a SIMD group store their values; the last lane computes all results. MSL does not specify
// the order of a sum: here it is a tree over neighbors.
template <class T, class F> inline T collective(T value, emulator::Site site, F finish) {
    // A separate slot for each lane, whatever the type. The last lane may reach the next call, with another type,
    // before the others have read their results.
    struct alignas(64) Place {
        T value;
    };
    static_assert(sizeof(Place) == sizeof(emulator::Simd::values) / 32, "a value of more than 64 bytes");
    emulator::Lane* me = emulator::lane();
    Place* places = reinterpret_cast<Place*>(me->simd->values);
    places[me->in_simd].value = value;
    if (emulator::arrive(me, site)) {
        int lanes = int(me->simd->lanes);
        T values[32];
        for (int i = 0; i < lanes; i++)
            values[i] = places[i].value;
        finish(values, lanes);
        for (int i = 0; i < lanes; i++)
            places[i].value = values[i];
        emulator::release(me);
    }
    return places[me->in_simd].value;
}
template <class T, class F> inline T fold(T value, emulator::Site site, F combine) {
    return collective(value, site, [=](T* values, int lanes) {
        for (int reach = 1; reach < lanes; reach *= 2)
            for (int i = 0; i + reach < lanes; i += 2 * reach)
                values[i] = combine(values[i], values[i + reach]);
        for (int i = 1; i < lanes; i++)
            values[i] = values[0];
    });
}
// The result of a lane whose source lane does not exist.
template <class T> inline T nothing() {
    T value;
    __builtin_memset(&value, 0xff, sizeof value);
    return value;
}
template <class T> struct Asked {
    T value;
    int from;
};
// Each lane gets the value of the lane it names.
template <class T> inline T fetch(T value, int from, emulator::Site site) {
    Asked<T> mine = {value, from};
    return collective(mine, site, [](Asked<T>* asked, int lanes) {
        T values[32];
        for (int i = 0; i < lanes; i++)
            values[i] = asked[i].value;
        for (int i = 0; i < lanes; i++)
            asked[i].value = asked[i].from >= 0 && asked[i].from < lanes ? values[asked[i].from] : nothing<T>();
    }).value;
}
#define FOLD(name, expression)                                                                                         \
    template <class T> inline T name(T value, AT) {                                                                    \
        return fold(value, site, [](T x, T y) -> T { return expression; });                                           \
    }
#define MOVE(name, condition, place)                                                                                   \
    template <class T> inline T name(T value, ushort by, AT) {                                                         \
        int me = int(emulator::lane()->in_simd), lanes = int(emulator::lane()->simd->lanes);                           \
        (void)lanes;                                                                                                   \
        return fetch(value, condition ? int(place) : me, site);                                                        \
    }
#define SIMD_BOOL(name)
template <class T> inline T simd_broadcast_first(T value, AT) { return fetch(value, 0, site); }
class simd_vote {
    ulong bits;
public:
    explicit simd_vote(ulong value) : bits(value) {}
    explicit operator ulong() const { return bits; }
    bool all() const { return bits == (1ul << emulator::lane()->simd->lanes) - 1ul; }
    bool any() const { return bits != 0; }
};
inline simd_vote simd_ballot(bool value, AT) {
    ulong mine = value ? 1ul << emulator::lane()->in_simd : 0ul;
    return simd_vote(fold(mine, site, [](ulong x, ulong y) { return x | y; }));
}
inline simd_vote simd_active_threads_mask(AT) { return simd_ballot(true, site); }
inline bool simd_all(bool value, AT) { return simd_ballot(value, site).all(); }
inline bool simd_any(bool value, AT) { return simd_ballot(value, site).any(); }
inline bool simd_is_first() { return emulator::lane()->in_simd == 0; }
#endif

FOLD(simd_sum, x + y)
FOLD(simd_product, x * y)
FOLD(simd_max, max(x, y))
FOLD(simd_min, min(x, y))
FOLD(simd_and, x & y)
FOLD(simd_or, x | y)
FOLD(simd_xor, x ^ y)
SIMD_BOOL(simd_all)
SIMD_BOOL(simd_any)
MOVE(simd_broadcast, true, by)
MOVE(simd_shuffle, true, by)
MOVE(simd_shuffle_xor, true, me ^ by)
MOVE(simd_shuffle_up, me >= by, me - by)
MOVE(simd_shuffle_down, me + by < lanes, me + by)
MOVE(simd_shuffle_rotate_up, true, (me + lanes - by % lanes) % lanes)
MOVE(simd_shuffle_rotate_down, true, (me + by) % lanes)
#ifdef STRICT
#define PREFIX(name, combine, first)                                                                                   \
    template <class T> T simd_prefix_inclusive_##name(T value);                                                        \
    template <class T> T simd_prefix_exclusive_##name(T value);
#else
#define PREFIX(name, combine, first)                                                                                   \
    template <class T> inline T simd_prefix_inclusive_##name(T value, AT) {                                            \
        return collective(value, site, [](T* values, int lanes) {                                                      \
            for (int i = 1; i < lanes; i++)                                                                            \
                values[i] = values[i - 1] combine values[i];                                                           \
        });                                                                                                            \
    }                                                                                                                  \
    template <class T> inline T simd_prefix_exclusive_##name(T value, AT) {                                            \
        return collective(value, site, [](T* values, int lanes) {                                                      \
            T before = first;                                                                                          \
            for (int i = 0; i < lanes; i++) {                                                                          \
                T own = values[i];                                                                                     \
                values[i] = before;                                                                                    \
                before = before combine own;                                                                           \
            }                                                                                                          \
        });                                                                                                            \
    }
#endif
PREFIX(sum, +, T{})
PREFIX(product, *, make_one<T>(1))

// Section 6.9.3: four neighboring lanes. Here the whole SIMD group must take part, which is stricter than MSL.
MOVE(quad_broadcast, true, (me & ~3) + by)
MOVE(quad_shuffle, true, (me & ~3) + by)
MOVE(quad_shuffle_xor, true, me ^ (by & 3))
MOVE(quad_shuffle_up, (me & 3) >= by, me - by)
MOVE(quad_shuffle_down, (me & 3) + by < 4, me + by)
#ifdef STRICT
template <class T> T quad_sum(T value);
template <class T> T quad_max(T value);
template <class T> T quad_min(T value);
#else
#define QUAD(name, expression)                                                                                         \
    template <class T> inline T name(T value, AT) {                                                                    \
        return collective(value, site, [](T* values, int lanes) {                                                      \
            for (int quad = 0; quad < lanes; quad += 4) {                                                              \
                T x = values[quad];                                                                                    \
                for (int i = quad + 1; i < quad + 4 && i < lanes; i++) {                                               \
                    T y = values[i];                                                                                   \
                    x = expression;                                                                                    \
                }                                                                                                      \
                for (int i = quad; i < quad + 4 && i < lanes; i++)                                                     \
                    values[i] = x;                                                                                     \
            }                                                                                                          \
        });                                                                                                            \
    }
QUAD(quad_sum, T(x + y))
QUAD(quad_max, max(x, y))
QUAD(quad_min, min(x, y))
#endif
}

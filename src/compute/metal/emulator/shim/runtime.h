// The shim's interface to the emulator: the running lane, and the points where lanes meet.
#pragma once
#include "vectors.h"

namespace emulator {
// Line and column of a call.
typedef uint Site;
constexpr Site site(uint line, uint column) { return line << 8 | (column & 255); }

// The lanes of one SIMD group, and the values they exchange.
struct Simd {
    alignas(64) char values[32 * 64];
    uint lanes;
    // Number of lanes that wait for each other, and the call they wait at.
    uint waiting;
    Site at;
    // Digests of matrix calls before each meeting: of the SIMD group, at a barrier of the workgroup, at the end.
    ulong trace[3];
    // Number of lanes at a barrier of the workgroup, and number that have returned.
    uint at_barrier;
    uint returned;
};

struct Lane {
    uint3 group;
    uint3 groups;
    uint lanes;
    uint index;
    uint in_simd;
    uint in_group;
    Simd* simd;
    // A digest of the lane's matrix calls, and the last call.
    ulong trace;
    Site traced;
    // The call it waits at, or 0.
    Site waits_at;
    // Its stack, after it has started, and its stack pointer.
    char* stack;
    void* stack_pointer;
};

extern "C" {
// The running lane: constant during one call of a shader's function.
__attribute__((const)) Lane* emulator_lane();
// Whether this lane is the last of its SIMD group to arrive. Its call of `release` resumes the others.
bool emulator_arrive(Lane* me, Site site);
void emulator_release(Lane* me);
void emulator_group_barrier(Lane* me, int flags, Site site);
// Threadgroup variable number `at`, full of NaN at the workgroup's first request.
void* emulator_shared(Lane* me, uint at, ulong bytes);
}
inline Lane* lane() { return emulator_lane(); }
// Lanes lie along x.
inline uint3 along(uint x, uint rest) { return uint3{x, rest, rest}; }
inline uint3 position(const Lane* me) { return uint3{me->group.x * me->lanes + me->index, me->group.y, me->group.z}; }
inline bool arrive(Lane* me, Site site) { return emulator_arrive(me, site); }
inline void release(Lane* me) { emulator_release(me); }
inline void group_barrier(int flags, Site site) { emulator_group_barrier(lane(), flags, site); }
inline void simd_barrier(Site site) {
    Lane* me = lane();
    if (emulator_arrive(me, site))
        emulator_release(me);
}
template <class T> inline T& shared(uint at) {
    return *static_cast<T*>(emulator_shared(lane(), at, sizeof(T)));
}
// Whether this lane computes its SIMD group's matrices. Every lane adds the call to its digest.
inline bool leads(Site site, const volatile void* address, ulong rest) {
    Lane* me = lane();
    ulong mixed = (me->trace ^ site ^ reinterpret_cast<ulong>(address)) * 0x9e3779b97f4a7c15ul;
    me->trace = (mixed ^ (mixed >> 29)) + rest;
    me->traced = site;
    return me->in_simd == 0;
}
}

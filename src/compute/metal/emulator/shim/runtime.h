// What the shim needs of the emulator: the lane that runs, and where lanes meet.
#pragma once
#include "vectors.h"

namespace emulator {
// Line and column of a call.
typedef uint Site;
constexpr Site site(uint line, uint column) { return line << 8 | (column & 255); }

// The lanes of one SIMD group, and what they leave for each other.
struct Simd {
    alignas(64) char values[32 * 64];
    uint lanes;
    // How many lanes wait for each other, and where.
    uint waiting;
    Site at;
    // What was asked of matrices before lanes met: as a SIMD group, at a barrier of all, at the end.
    ulong trace[3];
    // How many of its lanes are at a barrier of all, and how many have returned.
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
    // A digest of what was asked of matrices, and where last.
    ulong trace;
    Site traced;
    // Where it waits, or 0.
    Site waits_at;
    // Its stack, once it has started, and where on it.
    char* stack;
    void* stack_pointer;
};

extern "C" {
// The lane that runs: the same one for as long as a shader's function does.
__attribute__((const)) Lane* emulator_lane();
// Whether this lane is the last of its SIMD group to arrive. The others go on when it calls `release`.
bool emulator_arrive(Lane* me, Site site);
void emulator_release(Lane* me);
void emulator_group_barrier(Lane* me, int flags, Site site);
// Threadgroup memory number `at`, full of NaN where a group asks for the first time.
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
// Whether this lane does the work of its SIMD group's matrices; all note what it is.
inline bool leads(Site site, const volatile void* address, ulong rest) {
    Lane* me = lane();
    ulong mixed = (me->trace ^ site ^ reinterpret_cast<ulong>(address)) * 0x9e3779b97f4a7c15ul;
    me->trace = (mixed ^ (mixed >> 29)) + rest;
    me->traced = site;
    return me->in_simd == 0;
}
}

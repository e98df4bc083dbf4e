// Runs the lanes of a workgroup as fibers of one thread.
//
// A lane runs until it must wait for others. Then the first ready lane in the workgroup's order runs: the lowest or the
// highest. So SIMD groups run as far apart as barriers allow, and a missing barrier shows in one of the two orders. A
// lane that never waits needs no switch: the next lane starts on the same stack.
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/runtime.h"
#include "shim/switch.h"

using emulator::Lane;
using emulator::Simd;
using emulator::Site;

namespace {
constexpr uint LANES = 1024;
constexpr ulong STACK = 1ul << 18;
#if defined(__aarch64__)
constexpr ulong PAGE = 16384;
#else
constexpr ulong PAGE = 4096;
#endif
constexpr uint ARRAYS = 64;
constexpr ulong GROUP_MEMORY = 32768;
// One threadgroup variable: a guard page, the maximum size, a guard page.
constexpr ulong ARRAY = GROUP_MEMORY + 2 * PAGE;

// As in faults.rs.
enum Kind : uint { NONE, APART, STUCK, MATRICES, ADDRESS, INDEX, DIVISION, TOO_MUCH, NO_ORDER, TOO_MANY };
enum Meeting { AS_SIMD, AS_GROUP, AT_END };

struct Report {
    Kind kind;
    Site site, other;
    uint lane, other_lane, returned;
    // Number of the threadgroup variable, plus one.
    uint array;
    ulong address;
};

struct Worker {
    Lane lanes[LANES];
    Simd simds[LANES / 32];
    ulong ready[LANES / 64];
    uint count, words, returned;
    bool reversed;
    // The barrier of the whole workgroup.
    uint at_barrier;
    Site barrier;
    // Unused stacks, and how many there are.
    char* idle[LANES];
    uint idle_count, stack_count;
    char* stacks;
    void* main_pointer;
    sigjmp_buf escape;
    Report report;
    void (*entry)(void* const*);
    void* const* buffers;
    char* arrays;
    ulong group_bytes;
    // Bytes of each threadgroup variable of this workgroup, or 0.
    ulong made[ARRAYS];
};

__attribute__((tls_model("initial-exec"))) thread_local Lane* running;
__attribute__((tls_model("initial-exec"))) thread_local Worker* working;

struct sigaction before[NSIG];

[[noreturn]] void give_up(Worker& w, Report report) {
    w.report = report;
    siglongjmp(w.escape, 1);
}

void on_signal(int signal, siginfo_t* info, void* context) {
    Worker* w = working;
    if (w == nullptr || running == nullptr) {
        // The signal is not from a shader: restore the earlier handler, which runs when it repeats.
        sigaction(signal, &before[signal], nullptr);
        (void)context;
        return;
    }
    Report report = {};
    report.kind = signal == SIGILL ? INDEX : signal == SIGFPE ? DIVISION : ADDRESS;
    report.lane = running->index;
    report.site = running->traced;
    report.address = reinterpret_cast<ulong>(info->si_addr);
    ulong offset = report.address - reinterpret_cast<ulong>(w->arrays);
    if (report.kind == ADDRESS && offset < ARRAYS * ARRAY)
        report.array = uint(offset / ARRAY) + 1;
    give_up(*w, report);
}

void catch_signals() {
    static std::once_flag once;
    std::call_once(once, [] {
        for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
            struct sigaction action = {};
            action.sa_sigaction = on_signal;
            // A jump leaves the handler, so the signal must not stay blocked.
            action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
            sigaction(signal, &action, &before[signal]);
        }
    });
    // Handlers need their own stack: the fiber's stack may have overflowed.
    stack_t stack;
    if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) != 0) {
        ulong size = 1ul << 16;
        void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stack = {};
        stack.ss_sp = memory;
        stack.ss_size = size;
        if (memory != MAP_FAILED)
            sigaltstack(&stack, nullptr);
    }
}

char* reserve(ulong bytes) {
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

bool allow(char* memory, ulong bytes) { return mprotect(memory, bytes, PROT_READ | PROT_WRITE) == 0; }
}

namespace {
// Removes the next ready lane from the list; null if all lanes wait or have returned.
Lane* next(Worker& w) {
    for (uint i = 0; i < w.words; i++) {
        uint word = w.reversed ? w.words - 1 - i : i;
        if (ulong bits = w.ready[word]) {
            uint bit = w.reversed ? 63 - uint(__builtin_clzl(bits)) : uint(__builtin_ctzl(bits));
            w.ready[word] &= ~(1ul << bit);
            return &w.lanes[word * 64 + bit];
        }
    }
    return nullptr;
}

void meet(Worker& w, Lane* me, Meeting meeting, uint already) {
    Simd& simd = *me->simd;
    if (already == 0)
        simd.trace[meeting] = me->trace;
    else if (simd.trace[meeting] != me->trace)
        give_up(w, {MATRICES, me->traced, 0, me->index, 0, 0, 0, 0});
}

void lane_returns(Worker& w, Lane* me) {
    meet(w, me, AT_END, me->simd->returned++);
    w.returned++;
}

// The start of every fiber: runs lanes on this stack until the next lane has its own stack.
[[noreturn]] void run_lanes() {
    Worker& w = *working;
    for (;;) {
        Lane* me = running;
        w.entry(w.buffers);
        lane_returns(w, me);
        Lane* other = next(w);
        if (other != nullptr && other->stack == nullptr) {
            other->stack = me->stack;
            running = other;
            continue;
        }
        w.idle[w.idle_count++] = me->stack;
        void* nowhere;
        running = other;
        emulator_switch(&nowhere, other == nullptr ? w.main_pointer : other->stack_pointer);
        __builtin_unreachable();
    }
}

// Gives a stack to a lane that starts.
void start(Worker& w, Lane* lane) {
    if (w.idle_count == 0) {
        char* memory = w.stacks + STACK * w.stack_count;
        if (!allow(memory + PAGE, STACK - PAGE))
            give_up(w, {TOO_MANY, 0, 0, lane->index, 0, 0, 0, 0});
        w.stack_count++;
        w.idle[w.idle_count++] = memory;
    }
    lane->stack = w.idle[--w.idle_count];
    // Vary the distance to a power of two: otherwise all stack tops would share few cache lines.
    ulong shift = (ulong(lane->stack - w.stacks) / STACK % 64) * 192;
    void** top = reinterpret_cast<void**>(lane->stack + STACK - shift) - ABOVE - SAVED;
    memset(top, 0, SAVED * sizeof(void*));
    top[RETURN] = reinterpret_cast<void*>(&run_lanes);
    lane->stack_pointer = top;
}

// Suspends a waiting lane; returns when it runs again.
void leave(Worker& w, Lane* me, Site site) {
    me->waits_at = site;
    Lane* other = next(w);
    if (other != nullptr && other->stack == nullptr)
        start(w, other);
    running = other;
    emulator_switch(&me->stack_pointer, other == nullptr ? w.main_pointer : other->stack_pointer);
    me->waits_at = 0;
}

void stuck(Worker& w) {
    Report report = {};
    report.kind = STUCK;
    report.returned = w.returned;
    for (uint i = 0; i < w.count; i++) {
        Lane& lane = w.lanes[i];
        if (lane.waits_at == 0)
            continue;
        if (report.site == 0) {
            report.site = lane.waits_at;
            report.lane = i;
        } else if (lane.waits_at != report.site && report.other == 0) {
            report.other = lane.waits_at;
            report.other_lane = i;
        }
    }
    w.report = report;
}

void prepare(Worker& w, const uint* grid, ulong group) {
    ulong row = group / grid[0];
    uint3 at = {uint(group % grid[0]), uint(row % grid[1]), uint(row / grid[1])};
    uint3 groups = {grid[0], grid[1], grid[2]};
    for (uint i = 0; i < w.count; i++)
        w.lanes[i] = {at, groups, w.count, i, i % 32, i / 32, &w.simds[i / 32], 0, 0, 0, nullptr, nullptr};
    w.words = (w.count + 63) / 64;
    for (uint i = 0; i < w.words; i++)
        w.ready[i] = i + 1 < w.words || w.count % 64 == 0 ? ~0ul : (1ul << w.count % 64) - 1;
    for (uint i = 0; i * 32 < w.count; i++) {
        Simd& simd = w.simds[i];
        simd.lanes = w.count - i * 32 < 32 ? w.count - i * 32 : 32;
        simd.waiting = simd.at_barrier = simd.returned = 0;
    }
    w.returned = w.at_barrier = 0;
    w.group_bytes = 0;
    memset(w.made, 0, sizeof w.made);
    w.report = {};
}
}

extern "C" {
Lane* emulator_lane() { return running; }

bool emulator_arrive(Lane* me, Site site) {
    Worker& w = *working;
    Simd& simd = *me->simd;
    if (simd.waiting == 0)
        simd.at = site;
    else if (simd.at != site)
        give_up(w, {APART, simd.at, site, 0, me->index, 0, 0, 0});
    meet(w, me, AS_SIMD, simd.waiting);
    if (++simd.waiting == simd.lanes)
        return true;
    leave(w, me, site);
    return false;
}

void emulator_release(Lane* me) {
    Worker& w = *working;
    me->simd->waiting = 0;
    ulong all = (1ul << me->simd->lanes) - 1;
    w.ready[me->in_group / 2] |= (all & ~(1ul << me->in_simd)) << (me->in_group % 2 * 32);
}

void emulator_group_barrier(Lane* me, int flags, Site site) {
    Worker& w = *working;
    if (flags == 0)
        give_up(w, {NO_ORDER, site, 0, me->index, 0, 0, 0, 0});
    if (w.at_barrier == 0)
        w.barrier = site;
    else if (w.barrier != site)
        give_up(w, {APART, w.barrier, site, 0, me->index, 0, 0, 0});
    meet(w, me, AS_GROUP, me->simd->at_barrier++);
    if (++w.at_barrier < w.count)
        return leave(w, me, site);
    w.at_barrier = 0;
    for (uint i = 0; i < w.words; i++)
        w.ready[i] = i + 1 < w.words || w.count % 64 == 0 ? ~0ul : (1ul << w.count % 64) - 1;
    w.ready[me->index / 64] &= ~(1ul << me->index % 64);
    for (uint i = 0; i * 32 < w.count; i++)
        w.simds[i].at_barrier = 0;
}

void* emulator_shared(Lane* me, uint at, ulong bytes) {
    Worker& w = *working;
    ulong size = (bytes + 15) & ~15ul;
    char* end = w.arrays + ARRAY * at + PAGE + GROUP_MEMORY;
    if (at >= ARRAYS || w.made[at] == 0) {
        w.group_bytes += size;
        if (at >= ARRAYS || w.group_bytes > GROUP_MEMORY)
            give_up(w, {TOO_MUCH, 0, 0, me->index, 0, 0, at + 1, w.group_bytes});
        w.made[at] = size;
        // The gap between the guard page and the array's start gets NaN too.
        memset(end - ((size + PAGE - 1) & ~(PAGE - 1)), 0xff, (size + PAGE - 1) & ~(PAGE - 1));
    }
    return end - size;
}

// Allocates one thread's memory for the lanes of a workgroup; null if memory is insufficient.
void* emulator_worker() {
    Worker* w = new (std::nothrow) Worker();
    if (w == nullptr)
        return nullptr;
    w->stacks = reserve(STACK * LANES);
    w->arrays = reserve(ARRAY * ARRAYS);
    bool there = w->stacks != nullptr && w->arrays != nullptr;
    for (uint i = 0; there && i < ARRAYS; i++)
        there = allow(w->arrays + ARRAY * i + PAGE, GROUP_MEMORY);
    if (!there) {
        delete w;
        return nullptr;
    }
    return w;
}

void emulator_worker_ends(void* worker) {
    Worker* w = static_cast<Worker*>(worker);
    munmap(w->stacks, STACK * LANES);
    munmap(w->arrays, ARRAY * ARRAYS);
    delete w;
}

// Runs one workgroup. Returns whether it succeeded; if not, the report holds the fault.
bool emulator_run(void* worker, void (*entry)(void* const*), void* const* buffers, const uint* grid, ulong group,
                  uint lanes, bool reversed, Report* report) {
    Worker& w = *static_cast<Worker*>(worker);
    catch_signals();
    w.entry = entry;
    w.buffers = buffers;
    w.count = lanes;
    w.reversed = reversed;
    prepare(w, grid, group);
    working = &w;
    if (sigsetjmp(w.escape, 0) == 0) {
        Lane* first = next(w);
        start(w, first);
        running = first;
        emulator_switch(&w.main_pointer, first->stack_pointer);
        if (w.returned < w.count)
            stuck(w);
    }
    running = nullptr;
    working = nullptr;
    *report = w.report;
    if (w.report.kind == NONE)
        return true;
    // Lanes that have not returned never will: free their stacks.
    w.idle_count = 0;
    for (uint i = 0; i < w.stack_count; i++)
        w.idle[w.idle_count++] = w.stacks + STACK * i;
    return false;
}

// Memory full of NaN between guard pages, ending at a page boundary; null if memory is insufficient.
void* emulator_memory(ulong bytes) {
    ulong pages = (bytes + PAGE - 1) & ~(PAGE - 1);
    char* memory = reserve(pages + 2 * PAGE);
    if (memory == nullptr)
        return nullptr;
    if (!allow(memory + PAGE, pages)) {
        munmap(memory, pages + 2 * PAGE);
        return nullptr;
    }
    memset(memory + PAGE, 0xff, pages);
    return memory + PAGE + pages - bytes;
}

void emulator_memory_ends(void* memory, ulong bytes) {
    ulong pages = (bytes + PAGE - 1) & ~(PAGE - 1);
    munmap(static_cast<char*>(memory) + bytes - pages - PAGE, pages + 2 * PAGE);
}
}

// SPDX-License-Identifier: GPL-3.0-or-later
// The names of kernels/intrinsics.cuh and what CUDA C++ has built in, for the CPU.
//
// A block's threads are fibres on one thread of the CPU. A fibre runs until it needs the others of its warp or block
// (a shuffle, a product, a barrier); the last one to arrive does the work for all, in exactly the fragments that the
// PTX ISA describes. Fibres that wait for what can no longer come, or for different things, are an error: so is every
// collective operation that not all of a warp's 32 lanes take part in.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

typedef uint32_t u32;
typedef uint16_t u16;
typedef unsigned long long u64;

#define CONSTANT static const
#define DEVICE inline
#define KERNEL extern "C" void
#define KERNEL_OF(blocks) extern "C" void

constexpr u32 ALL = 0xffffffffu;

struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

struct Index { u32 x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;

// ---- half precision -------------------------------------------------------------------------------------------------

static float half_values[65536];

static u16 half_of(float value) {
    u32 bits;
    memcpy(&bits, &value, 4);
    u32 sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (u16)(sign | 0x7fffu);
    if (magnitude >= 0x47800000u) return (u16)(sign | 0x7c00u);  // 65536 and more
    if (magnitude < 0x33000000u) return (u16)sign;               // below half of the least number
    u32 exponent = magnitude >> 23;
    u32 digits = (magnitude & 0x7fffffu) | 0x800000u;
    u32 shift = exponent < 113 ? 126 - exponent : 13;  // digits that are lost; more among the numbers near zero
    u32 kept = digits >> shift, lost = digits & ((1u << shift) - 1), middle = 1u << (shift - 1);
    u32 half = exponent < 113 ? kept : ((exponent - 112) << 10) + (kept - 1024);
    if (lost > middle || (lost == middle && (half & 1))) ++half;  // may carry into the exponent, as it should
    return (u16)(sign | half);
}

static void fill_half_values() {
    for (u32 half = 0; half < 65536; ++half) {
        int exponent = (int)(half >> 10 & 31), digits = (int)(half & 1023);
        double value = exponent == 0    ? std::ldexp(digits, -24)
                       : exponent == 31 ? (digits ? NAN : INFINITY)
                                        : std::ldexp(1024 + digits, exponent - 25);
        half_values[half] = (float)(half & 0x8000u ? -value : value);
    }
}

inline u32 pack(float low, float high) { return half_of(low) | (u32)half_of(high) << 16; }
inline float low_half(u32 packed) { return half_values[packed & 0xffffu]; }
inline float high_half(u32 packed) { return half_values[packed >> 16]; }

// ---- fibres ---------------------------------------------------------------------------------------------------------

namespace host {

constexpr u32 MOST_THREADS = 1024;
constexpr size_t STACK = 256 * 1024, GUARD = 4096;

#if defined(__x86_64__)
struct Context { void* stack; };
// Keeps what a function call has to keep, and goes on where `to` stopped.
extern "C" void switch_fibre(Context* from, Context* to);
asm(".text\n"
    ".globl switch_fibre\n"
    ".type switch_fibre, @function\n"
    "switch_fibre:\n"
    "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    "movq %rsp, (%rdi)\n"
    "movq (%rsi), %rsp\n"
    "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
    "ret\n"
    ".size switch_fibre, .-switch_fibre\n");
static void prepare(Context& context, char* stack, void (*entry)()) {
    void** top = (void**)(stack + STACK);
    *--top = nullptr;  // keeps the stack aligned as after a call
    *--top = (void*)entry;
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    context.stack = top;
}
#else
struct Context { ucontext_t state; };
static void switch_fibre(Context* from, Context* to) { swapcontext(&from->state, &to->state); }
static void prepare(Context& context, char* stack, void (*entry)()) {
    getcontext(&context.state);
    context.state.uc_stack.ss_sp = stack;
    context.state.uc_stack.ss_size = STACK;
    context.state.uc_link = nullptr;
    makecontext(&context.state, entry, 0);
}
#endif

enum State { READY, WARP, BLOCK, DONE };
struct Fibre {
    Context context;
    State state;
};
struct Warp {
    u32 arrived, done;
    int code;
    void* operands[32];
};

static Fibre fibres[MOST_THREADS];
static Warp warps[MOST_THREADS / 32];
static Context outside;
static char* stacks;
static uint4* shared;
static u32 threads, current, at_barrier, finished;
// Runs blocks, warps and lanes in the opposite order, and each warp as far as it gets without the others, where
// otherwise all of a block's warps keep step: what depends on it is a race.
static bool backwards;
static std::string error;
static void (*body)(void**);
static void** arguments;

static void enter(u32 fibre) {
    current = fibre;
    threadIdx.x = backwards ? threads - 1 - fibre : fibre;
}

[[noreturn]] static void fail(const std::string& text) {
    error = text + " (thread " + std::to_string(threadIdx.x) + " of block " + std::to_string(blockIdx.x) + ")";
    Context lost;
    switch_fibre(&lost, &outside);
    abort();
}

// the next fibre among `count` around the current one that can go on; `threads` when there is none
static u32 next_ready(u32 first, u32 count) {
    for (u32 i = 1; i <= count; ++i) {
        u32 next = first + (current - first + i) % count;
        if (fibres[next].state == READY) return next;
    }
    return threads;
}

// goes on with the next fibre that can; the one that called is not ready or done
static void leave() {
    u32 from = current, next = threads;
    if (backwards) next = next_ready(from / 32 * 32, 32);
    if (next == threads) next = next_ready(0, threads);
    if (next < threads) {
        enter(next);
        if (next != from) switch_fibre(&fibres[from].context, &fibres[next].context);
        return;
    }
    if (finished < threads) fail("the threads wait for one another");
    Context lost;
    switch_fibre(&lost, &outside);
}

static void start() {
    body(arguments);
    fibres[current].state = DONE;
    ++finished;
    ++warps[threadIdx.x / 32].done;
    leave();
    abort();
}

// Waits for all lanes of the warp; the last one calls `work` with what every lane has brought.
template <class Operand, class Work>
static void together(int code, Operand& mine, Work work) {
    Warp& warp = warps[threadIdx.x / 32];
    if (warp.done) fail("a warp works together after some of its lanes have ended");
    if (warp.arrived && warp.code != code) fail("the lanes of a warp do different things");
    warp.code = code;
    warp.operands[threadIdx.x % 32] = &mine;
    if (++warp.arrived < 32) {
        fibres[current].state = WARP;
        leave();
        return;
    }
    Operand* lanes[32];
    for (u32 lane = 0; lane < 32; ++lane) lanes[lane] = (Operand*)warp.operands[lane];
    work(lanes);
    warp.arrived = 0;
    u32 first = current / 32 * 32;
    for (u32 i = first; i < first + 32; ++i) fibres[i].state = READY;
}

static const char* run(void (*kernel)(void**), void** parameters, u32 grid, u32 block, u32 shared_bytes, bool reverse) {
    error.clear();
    if (block == 0 || block > MOST_THREADS || block % 32) return "a block has whole warps, 1024 threads at most";
    if (!stacks) {
        stacks = (char*)mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) return "no memory for the fibres' stacks";
        fill_half_values();
    }
    std::vector<char> memory(shared_bytes + GUARD + 16);
    shared = (uint4*)(((uintptr_t)memory.data() + 15) / 16 * 16);
    body = kernel;
    arguments = parameters;
    threads = block;
    backwards = reverse;
    blockDim = {block, 1, 1};
    gridDim = {grid, 1, 1};
    for (u32 i = 0; i < grid; ++i) {
        blockIdx = {reverse ? grid - 1 - i : i, 0, 0};
        // what nobody has written must not look like anything sensible
        memset(shared, 0xff, shared_bytes);
        memset((char*)shared + shared_bytes, 0x5a, GUARD);
        memset(warps, 0, sizeof warps);
        at_barrier = finished = 0;
        for (u32 thread = 0; thread < threads; ++thread) {
            fibres[thread].state = READY;
            prepare(fibres[thread].context, stacks + thread * STACK, start);
        }
        enter(0);
        switch_fibre(&outside, &fibres[0].context);
        if (!error.empty()) return error.c_str();
        for (size_t j = 0; j < GUARD; ++j)
            if (((char*)shared)[shared_bytes + j] != 0x5a) return "the block wrote beyond its shared memory";
    }
    return nullptr;
}

}  // namespace host

#define shared_memory (host::shared)

inline void __syncthreads() {
    if (host::finished) host::fail("a block meets at a barrier after some of its threads have ended");
    if (++host::at_barrier < host::threads) {
        host::fibres[host::current].state = host::BLOCK;
        host::leave();
        return;
    }
    host::at_barrier = 0;
    for (u32 i = 0; i < host::threads; ++i)
        if (host::fibres[i].state == host::BLOCK) host::fibres[i].state = host::READY;
}

// ---- a warp's collective operations ---------------------------------------------------------------------------------

enum Code { SHUFFLE, BALLOT, SYNC, MULTIPLY, TRANSPOSE };

template <class Value>
inline Value shuffled(Value value, u32 source) {
    struct Operand { Value value, result; u32 source; } mine = {value, value, source % 32};
    host::together(SHUFFLE, mine, [](Operand** lanes) {
        for (u32 lane = 0; lane < 32; ++lane) lanes[lane]->result = lanes[lanes[lane]->source]->value;
    });
    return mine.result;
}

template <class Value>
inline Value __shfl_sync(u32, Value value, u32 source) { return shuffled(value, source); }
template <class Value>
inline Value __shfl_xor_sync(u32, Value value, u32 mask) { return shuffled(value, threadIdx.x % 32 ^ mask); }
template <class Value>
inline Value __shfl_up_sync(u32, Value value, u32 distance) {
    u32 lane = threadIdx.x % 32;
    return shuffled(value, lane < distance ? lane : lane - distance);
}

inline u32 __ballot_sync(u32, bool vote) {
    struct Operand { bool vote; u32 result; } mine = {vote, 0};
    host::together(BALLOT, mine, [](Operand** lanes) {
        u32 votes = 0;
        for (u32 lane = 0; lane < 32; ++lane) votes |= (u32)lanes[lane]->vote << lane;
        for (u32 lane = 0; lane < 32; ++lane) lanes[lane]->result = votes;
    });
    return mine.result;
}
inline bool __any_sync(u32 mask, bool vote) { return __ballot_sync(mask, vote) != 0; }

inline void __syncwarp() {
    u32 mine = 0;
    host::together(SYNC, mine, [](u32**) {});
}

inline float half_at(const u32* words, u32 second) { return half_values[words[0] >> (second ? 16 : 0) & 0xffffu]; }

inline void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    struct Operand { float* c; const u32* a; u32 b[2]; } mine = {c, a, {b0, b1}};
    host::together(MULTIPLY, mine, [](Operand** lanes) {
        // PTX ISA, mma.m16n8k16: with g = lane / 4 and t = lane % 4,
        //   a: row g + 8·(i odd), columns 2t, 2t + 1 (+ 8 for i ≥ 2)    b: rows 2t, 2t + 1 (+ 8 for i = 1), column g
        //   c: row g (+ 8 for i ≥ 2), column 2t + (i odd)
        float left[16][16], right[8][16];
        for (u32 lane = 0; lane < 32; ++lane) {
            u32 g = lane / 4, t = lane % 4;
            for (u32 i = 0; i < 4; ++i)
                for (u32 j = 0; j < 2; ++j) left[g + i % 2 * 8][2 * t + j + i / 2 * 8] = half_at(lanes[lane]->a + i, j);
            for (u32 i = 0; i < 2; ++i)
                for (u32 j = 0; j < 2; ++j) right[g][2 * t + j + i * 8] = half_at(lanes[lane]->b + i, j);
        }
        for (u32 lane = 0; lane < 32; ++lane)
            for (u32 i = 0; i < 4; ++i) {
                const float *row = left[lane / 4 + i / 2 * 8], *column = right[lane % 4 * 2 + i % 2];
                double sum = lanes[lane]->c[i];
                for (u32 k = 0; k < 16; ++k) sum += (double)row[k] * column[k];
                lanes[lane]->c[i] = (float)sum;
            }
    });
}

inline u32 transposed(u32 fragment) {
    struct Operand { u32 fragment, result; } mine = {fragment, 0};
    host::together(TRANSPOSE, mine, [](Operand** lanes) {
        // row g of the matrix is in the lanes 4g ... 4g + 3, two columns in each
        u16 matrix[8][8];
        for (u32 lane = 0; lane < 32; ++lane)
            for (u32 j = 0; j < 2; ++j) matrix[lane / 4][lane % 4 * 2 + j] = (u16)(lanes[lane]->fragment >> 16 * j);
        for (u32 lane = 0; lane < 32; ++lane) {
            u32 row = lane / 4, column = lane % 4 * 2;
            lanes[lane]->result = matrix[column][row] | (u32)matrix[column + 1][row] << 16;
        }
    });
    return mine.result;
}

// ---- memory and arithmetic ------------------------------------------------------------------------------------------

// as __expf: a power of two of a rounded product
inline float exponential(float x) { return exp2f(x * 1.4426950408889634f); }
inline void add(float* address, float a) { *address += a; }
inline void add2(float* address, float a, float b) {
    add(address, a);
    add(address + 1, b);
}
inline void add4(float* address, float a, float b, float c, float d) {
    add2(address, a, b);
    add2(address + 2, c, d);
}
template <class Value>
inline Value atomicAdd(Value* address, Value value) {
    Value old = *address;
    *address += value;
    return old;
}
inline u32 atomicOr(u32* address, u32 value) {
    u32 old = *address;
    *address |= value;
    return old;
}
inline u32 __umulhi(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }
inline int __popc(u32 value) { return __builtin_popcount(value); }

// ---- calling a kernel by its name -----------------------------------------------------------------------------------

template <class... Parameters, size_t... I>
static void call(void (*kernel)(Parameters...), void** parameters, std::index_sequence<I...>) {
    kernel(*(std::remove_reference_t<Parameters>*)parameters[I]...);
}

template <class Parameter>
static char kind() { return std::is_pointer_v<Parameter> ? 'p' : std::is_same_v<Parameter, float> ? 'f' : 'u'; }

template <auto KERNEL_FUNCTION> struct Call;
template <class... Parameters, void (*KERNEL_FUNCTION)(Parameters...)>
struct Call<KERNEL_FUNCTION> {
    static void of(void** parameters) { call(KERNEL_FUNCTION, parameters, std::index_sequence_for<Parameters...>()); }
    // p: a pointer, u: 32 bits, f: a float
    static std::string kinds() {
        return (std::string() + ... + kind<Parameters>());
    }
};

struct Entry {
    const char* name;
    void (*kernel)(void**);
    std::string kinds;
};

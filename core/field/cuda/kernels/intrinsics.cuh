// SPDX-License-Identifier: GPL-3.0-or-later
// All that speaks to the hardware. The tests put another implementation of this file's names in its place, and run the
// kernels on the CPU. Nothing is included: NVRTC finds no headers on a user's machine.

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

#define CONSTANT __constant__
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)
#define KERNEL_OF(blocks) extern "C" __global__ void __launch_bounds__(THREADS, blocks)

constexpr u32 ALL = 0xffffffffu;

extern __shared__ uint4 shared_memory[];

DEVICE float exponential(float x) { return __expf(x); }

// Two halves in one word, the first in the low part; rounded to nearest even.
DEVICE u32 pack(float low, float high) {
    u32 packed;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
#else
    asm("{ .reg .f16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b}; }"
        : "=r"(packed) : "f"(low), "f"(high));
#endif
    return packed;
}

DEVICE float low_half(u32 packed) {
    float value;
    asm("{ .reg .f16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, a; }" : "=f"(value) : "r"(packed));
    return value;
}

DEVICE float high_half(u32 packed) {
    float value;
    asm("{ .reg .f16 a, b; mov.b32 {a, b}, %1; cvt.f32.f16 %0, b; }" : "=f"(value) : "r"(packed));
    return value;
}

// c += a·b by the whole warp: a is 16×16 halves, b is 16×8, c is 16×8 floats, in the fragments of mma.m16n8k16 (PTX
// ISA, "Matrix fragments for mma.m16n8k16"). With g = lane / 4 and t = lane % 4: a[0] holds row g, columns 2t and
// 2t + 1, a[1] row g + 8, a[2] and a[3] the same rows eight columns on; b0 rows 2t and 2t + 1 of column g, b1 eight
// rows on; c[0], c[1] row g, columns 2t and 2t + 1, c[2], c[3] row g + 8.
DEVICE void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

// An 8×8 matrix of halves, row g and columns 2t, 2t + 1 in each lane, becomes its transpose.
DEVICE u32 transposed(u32 fragment) {
    u32 result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(fragment));
    return result;
}

// Adding to memory without reading it back. GPUs since Hopper add a vector in one request.
DEVICE void add(float* address, float a) {
    asm volatile("red.global.add.f32 [%0], %1;" ::"l"(address), "f"(a) : "memory");
}

DEVICE void add2(float* address, float a, float b) {
#if __CUDA_ARCH__ >= 900
    asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(address), "f"(a), "f"(b) : "memory");
#else
    add(address, a);
    add(address + 1, b);
#endif
}

DEVICE void add4(float* address, float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 900
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(address), "f"(a), "f"(b), "f"(c), "f"(d)
                 : "memory");
#else
    add2(address, a, b);
    add2(address + 2, c, d);
#endif
}

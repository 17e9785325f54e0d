// SPDX-License-Identifier: GPL-3.0-or-later
// A CUDA driver without a GPU: it notes every call, works in host memory, and fails when it is told to. It runs the kernels
// of a library that `cuda_host` built, or, without one, the kernel "scale" alone.
// Where CUDA's own header is at hand, the compiler compares these functions with the real declarations.
#include <cstdio>
#include <cstring>
#include <set>
#include <string>

#if __has_include(<cuda.h>)
#include <cuda.h>
#else
typedef int CUresult, CUdevice, CUfunction_attribute, CUjit_option;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
#endif
#ifndef CUDAAPI
#define CUDAAPI
#endif

typedef const char *(*Launch)(const char *name, unsigned grid, unsigned block, unsigned shared, void **, int backwards);

static std::string calls, failing;
static std::set<std::string> names;  // a function's handle is its name's address
static CUcontext current = nullptr;
static Launch launch = nullptr;

static CUresult note(const char *function, const std::string &words) {
    calls += std::string(function) + " " + words + "\n";
    return (CUresult)(failing == function ? 700 : 0);
}

static std::string number(unsigned long long value) { return std::to_string(value); }

extern "C" {
const char *fake_calls() { return calls.c_str(); }
void fake_library(Launch found) { launch = found; }
void fake_reset(const char *function) { calls.clear(); failing = function; current = nullptr; }

CUresult CUDAAPI cuInit(unsigned int flags) { return note("cuInit", number(flags)); }

CUresult CUDAAPI cuGetErrorName(CUresult error, const char **words) {
    *words = (int)error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : nullptr;
    return (CUresult)0;
}

CUresult CUDAAPI cuGetErrorString(CUresult error, const char **words) {
    *words = (int)error == 700 ? "an illegal memory access was encountered" : nullptr;
    return (CUresult)0;
}

CUresult CUDAAPI cuDeviceGet(CUdevice *device, int ordinal) {
    *device = 40 + ordinal;
    return note("cuDeviceGet", number(ordinal));
}

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = (CUcontext)0x7fff00001000;
    return note("cuDevicePrimaryCtxRetain", number(device));
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
    current = context;
    return note("cuCtxSetCurrent", number((unsigned long long)context));
}

CUresult CUDAAPI cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count, CUjit_option *options,
                                    void **values) {
    *module = (CUmodule)0x7fff00002000;
    CUresult result = note("cuModuleLoadDataEx", (const char *)image);
    for (unsigned int i = 0; i + 1 < count && (int)result; i++)
        if ((int)options[i] == 5 && (int)options[i + 1] == 6)
            snprintf((char *)values[i], (size_t)values[i + 1], "ptxas: the log has room for %d bytes",
                     (int)(size_t)values[i + 1]);
    return result;
}

CUresult CUDAAPI cuModuleUnload(CUmodule) { return note("cuModuleUnload", ""); }

CUresult CUDAAPI cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    *function = (CUfunction)names.insert(name).first->c_str();
    return note("cuModuleGetFunction", number((unsigned long long)module) + " " + name);
}

CUresult CUDAAPI cuFuncSetAttribute(CUfunction, CUfunction_attribute attribute, int value) {
    return note("cuFuncSetAttribute", number((int)attribute) + " " + number(value));
}

CUresult CUDAAPI cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction, int threads, size_t shared) {
    *blocks = failing == "no room" ? 0 : 3;
    return note("cuOccupancyMaxActiveBlocksPerMultiprocessor", number(threads) + " " + number(shared));
}

// without a library every launch runs __global__ void scale(float *out, const float *in, float factor, unsigned count)
CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                                unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared,
                                CUstream stream, void **arguments, void **extra) {
    const char *name = (const char *)function;
    if (!current || !names.count(name) || extra || grid_y * grid_z * block_y * block_z != 1) return (CUresult)201;
    if (launch) {
        const char *said = launch(name, grid_x, block_x, shared, arguments, 0);
        if (said) fprintf(stderr, "%s: %s\n", name, said);
        return (CUresult)(said ? 700 : 0);
    }
    CUresult result = note("cuLaunchKernel", number(grid_x) + " " + number(grid_y) + " " + number(grid_z) + " " +
                                                 number(block_x) + " " + number(block_y) + " " + number(block_z) +
                                                 " " + number(shared) + " " + number((unsigned long long)stream));
    if ((int)result) return result;
    float *out = *(float **)arguments[0];
    const float *in = *(const float **)arguments[1];
    float factor = *(float *)arguments[2];
    unsigned count = *(unsigned *)arguments[3];
    for (unsigned i = 0; i < count; i++) out[i] = factor * in[i];
    return result;
}
}

// SPDX-License-Identifier: MIT
//
// The device primitives that weir's kernels are written in: one name for each
// instruction that matters, and why it is used. With WEIR_EMULATE the same kernels
// are compiled for the host; tests/fakecuda/emulate.h then defines these names.
#pragma once

#include <stdint.h>

// Element types as in weir/plugin.h.
enum : uint32_t { TYPE_NONE = 0, TYPE_F32 = 1, TYPE_F16 = 2, TYPE_BF16 = 3, TYPE_U8 = 4, TYPE_S8 = 5 };

#ifdef WEIR_EMULATE
#include "emulate.h"
#else

// KERNEL(threads, name, parameters...) { body }
// KERNEL_RESIDENT also asks for so few registers that `blocks` fit on a multiprocessor.
#define KERNEL(threads, name, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
#define KERNEL_RESIDENT(threads, blocks, name, ...) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
#define DEVICE __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define GRID_CONSTANT __grid_constant__
#define UNROLL _Pragma("unroll")
#define UNROLL_BY_4 _Pragma("unroll 4")
#define NO_UNROLL _Pragma("unroll 1") // where code is long and seldom runs

struct alignas(16) word4 {
  uint32_t x, y, z, w;
};
struct alignas(8) word2 {
  uint32_t x, y;
};

// Weights are read once: past L1, and the L2 fetches the next sectors as well.
DEVICE word4 load_weights(const word4 *p) {
  word4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
DEVICE word2 load_weights(const word2 *p) {
  word2 v;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
  return v;
}
DEVICE uint32_t load_weights(const uint32_t *p) {
  uint32_t v;
  asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(v) : "l"(p));
  return v;
}

// What an earlier kernel of the stream wrote. Coherent (no .nc), because with
// programmatic dependent launch that kernel may have run while this one started; and
// plain, so that the compiler may move it among the arithmetic.
DEVICE word4 load_shared_by_all(const word4 *p) {
  uint4 v = *(const uint4 *)p;
  return {v.x, v.y, v.z, v.w};
}
DEVICE word2 load_shared_by_all(const word2 *p) {
  uint2 v = *(const uint2 *)p;
  return {v.x, v.y};
}
DEVICE uint32_t load_shared_by_all(const uint32_t *p) { return *p; }

// What other blocks of this launch wrote, from L2, where atomics are made.
DEVICE word4 load_of_blocks(const word4 *p) {
  word4 v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
  return v;
}
DEVICE uint32_t load_of_blocks(const uint32_t *p) {
  uint32_t v;
  asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
DEVICE uint64_t load_of_blocks(const uint64_t *p) {
  uint64_t v;
  asm volatile("ld.global.cg.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
  return v;
}
// Each returns what was there before; atomic_inc counts 0, 1, ... last, 0.
DEVICE uint32_t atomic_add(uint32_t *p, uint32_t v) { return atomicAdd(p, v); }
DEVICE uint64_t atomic_add(uint64_t *p, uint64_t v) { return atomicAdd((unsigned long long *)p, (unsigned long long)v); }
DEVICE uint32_t atomic_inc(uint32_t *p, uint32_t last) { return atomicInc(p, last); }
// What the block wrote before (and a barrier) is seen by who sees what it writes from now on.
DEVICE void device_fence() { __threadfence(); }

// The same from global or shared memory alike.
DEVICE word4 load_anywhere(const word4 *p) { return load_shared_by_all(p); }

// acc + the dot product of four signed bytes with four unsigned or signed ones.
DEVICE int dot4_us(uint32_t u, uint32_t s, int acc) {
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(acc) : "r"(u), "r"(s));
  return acc;
}
DEVICE int dot4_ss(uint32_t a, uint32_t b, int acc) {
  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(acc) : "r"(a), "r"(b));
  return acc;
}

// Explicit, so that no compiler contracts two kernels differently.
DEVICE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE float mul_rn(float a, float b) { return __fmul_rn(a, b); }
DEVICE float add_rn(float a, float b) { return __fadd_rn(a, b); }
DEVICE float div_rn(float a, float b) { return __fdiv_rn(a, b); }
DEVICE float reciprocal_rn(float a) { return __frcp_rn(a); } // the same as 1 / a, sooner
DEVICE float reciprocal_root(float a) { // to two units in the last place
  float r;
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
}
DEVICE float int_to_float(int i) { return __int2float_rn(i); }
DEVICE int float_to_int_rn(float f) { return __float2int_rn(f); }
DEVICE float bits_to_float(uint32_t u) { return __uint_as_float(u); }
DEVICE uint32_t float_to_bits(float f) { return __float_as_uint(f); }

DEVICE float f16_to_float(uint16_t h) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
  return f;
}
DEVICE uint16_t float_to_f16(float f) {
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
  return h;
}

DEVICE float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE int shuffle_xor(int v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE uint32_t shuffle_xor(uint32_t v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
DEVICE void block_barrier() { __syncthreads(); }

DEVICE uint32_t thread_x() { return threadIdx.x; }
DEVICE uint32_t block_x() { return blockIdx.x; }
DEVICE uint32_t block_y() { return blockIdx.y; }
DEVICE uint32_t threads_x() { return blockDim.x; }

// Programmatic dependent launch (sm_90): the next kernel's blocks may start, and
// read what no earlier kernel writes; before anything else they wait.
DEVICE void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
DEVICE void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// 128 bytes into the L2. Nothing is read, so a kernel that starts early may do it before it
// waits: what an earlier kernel is still writing is not seen too soon.
#if __CUDA_ARCH__ >= 900
enum { STARTS_EARLY = 1 };
#else
enum { STARTS_EARLY = 0 };
#endif
DEVICE void prefetch(const void *p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

template <int bytes>
DEVICE uint32_t *block_memory() {
  __shared__ alignas(16) uint32_t memory[(bytes + 3) / 4];
  return memory;
}
// As many bytes as the launch asked for.
DEVICE uint32_t *dynamic_block_memory() {
  extern __shared__ word4 dynamic_words[];
  return (uint32_t *)dynamic_words;
}
#endif

#ifdef WEIR_EMULATE
DEVICE float reciprocal_rn(float a) { return div_rn(1.0f, a); }
#endif
#ifndef KERNEL_RESIDENT
#define KERNEL_RESIDENT(threads, blocks, name, ...) KERNEL(threads, name, __VA_ARGS__)
#endif

// ---- Built from the above ---------------------------------------------------

DEVICE float bf16_to_float(uint16_t h) { return bits_to_float((uint32_t)h << 16); }

// Round to nearest even; NaN stays NaN.
DEVICE uint16_t float_to_bf16(float f) {
  uint32_t u = float_to_bits(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

DEVICE float half_to_float(uint16_t h, uint32_t type) { return type == TYPE_F16 ? f16_to_float(h) : bf16_to_float(h); }

DEVICE float load_element(const void *p, uint64_t i, uint32_t type) {
  if (type == TYPE_F32) return ((const float *)p)[i];
  return half_to_float(((const uint16_t *)p)[i], type);
}

DEVICE void store_element(void *p, uint64_t i, uint32_t type, float f) {
  if (type == TYPE_F32)
    ((float *)p)[i] = f;
  else
    ((uint16_t *)p)[i] = type == TYPE_F16 ? float_to_f16(f) : float_to_bf16(f);
}

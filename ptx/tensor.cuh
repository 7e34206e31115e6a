// SPDX-License-Identifier: MIT
//
// What attention needs beyond device.cuh: copies into shared memory that run beside the
// arithmetic, 16-bit tensor cores (mma.sync m16n8k16, f32 sums), exp2. All from sm_80 on.
//
// Fragments, for lane 4*r + c of a warp, r in 0..7, c in 0..3:
//   A (16 x 16)  a[0]: row r,   columns 2c, 2c+1      a[1]: row r+8, columns 2c, 2c+1
//                a[2]: row r,   columns 2c+8, 2c+9    a[3]: row r+8, columns 2c+8, 2c+9
//   B (16 x 8)   b0: rows 2c, 2c+1 of column r        b1: rows 2c+8, 2c+9 of column r
//   C (16 x 8)   c[0], c[1]: row r, columns 2c, 2c+1  c[2], c[3]: row r+8, the same
// The lower half of a register holds the lower index.
#pragma once

#include "device.cuh"

#ifdef WEIR_EMULATE
#include "emulate_tensor.h"
#else

// Copies 16 bytes of global to shared memory, both aligned to 16; with `bytes` 0, writes
// zeros and reads nothing. Done after copy_async_wait, for the thread that waits.
DEVICE void copy_async16(void *shared, const void *global, uint32_t bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"((uint32_t)__cvta_generic_to_shared(shared)),
               "l"(global), "r"(bytes)
               : "memory");
}
// Ends a group of copies; waits until all but the last `most` groups are done.
DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int most>
DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(most) : "memory");
}

// A barrier in shared memory (8 bytes, aligned). It is complete when `count` threads have
// arrived, and starts anew; its phases have parity 0, 1, 0, ... What a thread wrote before
// it arrived is seen by who waited. copy_async_arrive arrives when the copies that the
// thread has started so far are done.
DEVICE void barrier_init(uint64_t *barrier, uint32_t count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"((uint32_t)__cvta_generic_to_shared(barrier)), "r"(count)
               : "memory");
}
DEVICE void barrier_arrive(uint64_t *barrier) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(
                 (uint32_t)__cvta_generic_to_shared(barrier))
               : "memory");
}
DEVICE void copy_async_arrive(uint64_t *barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"((uint32_t)__cvta_generic_to_shared(barrier))
               : "memory");
}
// Until the phase of this parity is complete, which `test` tells.
#define BARRIER_TURNS(barrier, parity, test)                                                           \
  asm volatile("{ .reg .pred done;\n"                                                                  \
               "again: mbarrier." test ".b64 done, [%0], %1;\n"                                        \
               "@!done bra again; }" ::"r"((uint32_t)__cvta_generic_to_shared(barrier)), "r"(parity)   \
               : "memory")
DEVICE void barrier_wait(uint64_t *barrier, uint32_t parity) { BARRIER_TURNS(barrier, parity, "test_wait.parity.shared"); }
// Of the first `threads` threads of the block, whole warps; `number` 1 to 15 tells several apart.
DEVICE void threads_barrier(uint32_t number, uint32_t threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// Four 8 x 8 matrices of 16-bit elements from shared memory: lane i gives the address of
// row i % 8 (16 bytes, aligned) of matrix i / 8. Lane 4*r + c gets in out[m] columns 2c,
// 2c+1 of row r of matrix m; transposed, rows 2c, 2c+1 of column r.
DEVICE void load_matrix4(uint32_t *out, const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"((uint32_t)__cvta_generic_to_shared(row))
               : "memory");
}
DEVICE void load_matrix4_transposed(uint32_t *out, const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"((uint32_t)__cvta_generic_to_shared(row))
               : "memory");
}

// c += A B.
DEVICE void mma_bf16(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
DEVICE void mma_f16(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two rounded to nearest even, the first in the lower half.
DEVICE uint32_t pack_bf16(float lower, float upper) {
  uint32_t v;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(upper), "f"(lower));
  return v;
}
DEVICE uint32_t pack_f16(float lower, float upper) {
  uint32_t v;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(upper), "f"(lower));
  return v;
}

// 2^x to two units in the last place; 2^-Inf is 0, NaN stays NaN.
DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float max_f32(float a, float b) { return fmaxf(a, b); } // of NaN and a number, the number

DEVICE float shuffle_from(float v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }
DEVICE uint32_t warp_ballot(bool yes) { return __ballot_sync(0xffffffffu, yes); }
DEVICE bool warp_any(bool yes) { return __any_sync(0xffffffffu, yes); }
DEVICE void warp_barrier() { __syncwarp(); }
DEVICE uint32_t block_z() { return blockIdx.z; }
DEVICE uint32_t blocks_x() { return gridDim.x; }
#endif

#define MINUS_INFINITY bits_to_float(0xff800000u)
#define LOG2_E 1.44269504088896340736f

// softcap * tanh(x / softcap). Of the two formulas for tanh the first has its error, 2^-22,
// times the softcap; near 0 the series has it times x.
DEVICE float soft_capped(float x, float softcap) {
  float y = div_rn(x, softcap), y2 = mul_rn(y, y);
  float e = exp2_fast(mul_rn(y, 2.0f * LOG2_E));
  float far = mul_rn(softcap, add_rn(1.0f, -div_rn(2.0f, add_rn(e, 1.0f))));
  float series = fma_rn(fma_rn(fma_rn(y2, -17.0f / 315.0f, 2.0f / 15.0f), y2, -1.0f / 3.0f), y2, 1.0f);
  return y2 < 1.0f / 64.0f ? mul_rn(x, series) : far;
}

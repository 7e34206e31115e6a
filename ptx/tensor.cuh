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
//
// Larger matrices in shared memory lie in panels of 64 columns (128 bytes) by as many rows as
// there are, each panel at a multiple of 1024 bytes. The eight 16-byte pieces of row r of
// a panel are exchanged: piece i lies at i ^ r % 8. So neither eight rows of one piece nor
// eight pieces of one row meet in a bank. panel_place is where a piece lies.
#pragma once

#include "device.cuh"
#include "tensor_map.h"

enum { PANEL_COLUMNS = 64, PANEL_ROW = 2 * PANEL_COLUMNS };

// Of columns d to d + 7 (d a multiple of 8), in bytes from the start of the first panel.
DEVICE uint32_t panel_place(uint32_t rows, uint32_t row, uint32_t d) {
  return d / PANEL_COLUMNS * (rows * PANEL_ROW) + row * PANEL_ROW + ((d / 8 ^ row) % 8) * 16;
}

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
// The same, leaving the other warps more of the multiprocessor meanwhile (sm_90; before it, just the same).
#if __CUDA_ARCH__ >= 900
DEVICE void barrier_sleep(uint64_t *barrier, uint32_t parity) { BARRIER_TURNS(barrier, parity, "try_wait.parity.shared"); }
#else
DEVICE void barrier_sleep(uint64_t *barrier, uint32_t parity) { barrier_wait(barrier, parity); }
#endif
// Of the first `threads` threads of the block, whole warps; `number` 1 to 15 tells several apart.
DEVICE void threads_barrier(uint32_t number, uint32_t threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// Boxes of a tensor into panels of shared memory, by hardware of their own (sm_90; before it there are none).
#if __CUDA_ARCH__ >= 900
enum { COPIES_BOXES = 1 };
// What this thread has written to shared memory is seen by copies of boxes and by products of sm_90a, once a barrier told them.
DEVICE void show_to_hardware() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// Arrives; the phase is complete when besides `bytes` have been counted.
DEVICE void barrier_expect(uint64_t *barrier, uint32_t bytes) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.expect_tx.shared.b64 state, [%0], %1; }" ::"r"(
                 (uint32_t)__cvta_generic_to_shared(barrier)),
               "r"(bytes)
               : "memory");
}
// Copies the box that begins at these coordinates and is as large as the map says, and counts its bytes
// at a barrier of shared memory. `shared` is a multiple of 1024; what lies outside the tensor becomes 0.
DEVICE void copy_box(void *shared, const tensor_map *map, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t c4,
                     uint64_t *barrier) {
  asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2,%3,%4,%5,%6}], [%7];" ::
                 "r"((uint32_t)__cvta_generic_to_shared(shared)),
               "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4), "r"((uint32_t)__cvta_generic_to_shared(barrier))
               : "memory");
}
// So that the first copy need not wait for the map.
DEVICE void prefetch_map(const tensor_map *map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }
#else
enum { COPIES_BOXES = 0 };
DEVICE void show_to_hardware() {}
DEVICE void barrier_expect(uint64_t *, uint32_t) {}
DEVICE void copy_box(void *, const tensor_map *, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t *) {}
DEVICE void prefetch_map(const tensor_map *) {}
#endif

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
// As many bytes as the launch asked for, at a multiple of 1024.
DEVICE uint8_t *dynamic_panels() {
  extern __shared__ __align__(1024) uint8_t dynamic_panel_bytes[];
  return dynamic_panel_bytes;
}
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

// SPDX-License-Identifier: MIT
//
// What ptx/tensor.cuh names beyond device.cuh, for the host. Included by tensor.cuh
// under WEIR_EMULATE, after device.cuh.
#pragma once

#include "barriers.h"
#include "copies.h"
#include "matrix.h"

#include <cfloat>
#include <cmath>

struct alignas(16) float4_ {
  float x, y, z, w;
};

// ---- Copies into shared memory ------------------------------------------------

// A thread must not end before it has waited for its copies.
DEVICE void copy_async16(void *shared, const void *global, uint32_t bytes, CALLER) {
  fakecuda::copy_later(shared, global, bytes, PLACE("copy_async16"));
}
DEVICE void copy_async_commit() { fakecuda::end_copy_group(); }
template <int most>
DEVICE void copy_async_wait() {
  static_assert(most >= 0, "a number of groups");
  fakecuda::wait_for_copies(most);
}

// ---- Barriers -----------------------------------------------------------------

DEVICE void barrier_init(uint64_t *barrier, uint32_t count, CALLER) {
  fakecuda::init_barrier(barrier, count, PLACE("barrier_init"));
}
DEVICE void barrier_arrive(uint64_t *barrier, CALLER) { fakecuda::arrive_at_barrier(barrier, PLACE("barrier_arrive")); }
DEVICE void copy_async_arrive(uint64_t *barrier, CALLER) {
  fakecuda::arrive_after_copies(barrier, PLACE("copy_async_arrive"));
}
DEVICE void barrier_wait(uint64_t *barrier, uint32_t parity, CALLER) {
  fakecuda::wait_for_phase(barrier, parity, PLACE("barrier_wait"));
}
DEVICE void barrier_sleep(uint64_t *barrier, uint32_t parity, CALLER) {
  fakecuda::wait_for_phase(barrier, parity, PLACE("barrier_sleep"));
}
DEVICE void threads_barrier(uint32_t number, uint32_t threads, CALLER) {
  fakecuda::wait_for_first_threads(number, threads, PLACE("threads_barrier"));
}

// ---- Boxes --------------------------------------------------------------------

enum { COPIES_BOXES = 1 };
DEVICE uint8_t *dynamic_panels() { return (uint8_t *)fakecuda::dynamic_memory(); }
DEVICE void show_to_hardware() {}
DEVICE void barrier_expect(uint64_t *barrier, uint32_t bytes, CALLER) {
  fakecuda::arrive_and_expect(barrier, bytes, PLACE("barrier_expect"));
}
DEVICE void copy_box(void *shared, const tensor_map *map, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                     uint32_t c4, uint64_t *barrier, CALLER) {
  const uint32_t first[] = {c0, c1, c2, c3, c4};
  fakecuda::copy_box_later(shared, *map, first, barrier, PLACE("copy_box"));
}
DEVICE void prefetch_map(const tensor_map *map, CALLER) { fakecuda::check_map(*map, PLACE("prefetch_map")); }

// ---- Matrices -----------------------------------------------------------------

DEVICE void load_matrix4_with(fakecuda::together_fn *all, uint32_t *out, const void *row, const fakecuda::place &at) {
  fakecuda::check_aligned(row, 16, at);
  fakecuda::check_shared(row, 16, at);
  fakecuda::matrix_part mine = {row, {}};
  fakecuda::do_together(0xffffffffu, &mine, all, false, at);
  for (int m = 0; m < 4; m++) out[m] = mine.out[m];
}
DEVICE void load_matrix4(uint32_t *out, const void *row, CALLER) {
  load_matrix4_with(fakecuda::load_matrices, out, row, PLACE("load_matrix4"));
}
DEVICE void load_matrix4_transposed(uint32_t *out, const void *row, CALLER) {
  load_matrix4_with(fakecuda::load_matrices_transposed, out, row, PLACE("load_matrix4_transposed"));
}

DEVICE void mma_with(fakecuda::together_fn *all, float *c, const uint32_t *a, uint32_t b0, uint32_t b1,
                     const fakecuda::place &at) {
  fakecuda::product_part mine = {{c[0], c[1], c[2], c[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  fakecuda::do_together(0xffffffffu, &mine, all, false, at);
  for (int i = 0; i < 4; i++) c[i] = mine.c[i];
}
DEVICE void mma_bf16(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, CALLER) {
  mma_with(fakecuda::multiply_bf16, c, a, b0, b1, PLACE("mma_bf16"));
}
DEVICE void mma_f16(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, CALLER) {
  mma_with(fakecuda::multiply_f16, c, a, b0, b1, PLACE("mma_f16"));
}

// ---- Arithmetic ---------------------------------------------------------------

// As cvt.rn.bf16x2.f32 has it, every NaN becomes 0x7fff.
DEVICE uint32_t pack_bf16(float lower, float upper) {
  uint32_t l = lower != lower ? 0x7fffu : float_to_bf16(lower), u = upper != upper ? 0x7fffu : float_to_bf16(upper);
  return u << 16 | l;
}
DEVICE uint32_t pack_f16(float lower, float upper) { return (uint32_t)float_to_f16(upper) << 16 | float_to_f16(lower); }

DEVICE float exp2_fast(float x) {
  float y = exp2f(x); // of a subnormal it is 1, as of 0
  return y < FLT_MIN ? 0.0f : y;
}
DEVICE float max_f32(float a, float b) {
  if (a != a) return b;
  if (b != b || a > b) return a;
  return a < b ? b : bits_to_float(float_to_bits(a) & float_to_bits(b)); // +0 of the zeros
}

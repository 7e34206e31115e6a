// SPDX-License-Identifier: MIT
//
// What ptx/device.cuh names, for the host: the same kernels, each CUDA thread a
// fiber. Arithmetic gives the bits that the GPU gives; compile with
// -ffp-contract=off. Included by device.cuh under WEIR_EMULATE.
#pragma once

#include "block.h"

#include <cmath>
#include <cstring>

// The kernel's function, and its entry in the driver's list.
#define KERNEL(threads, name, ...)                                       \
  static void name(__VA_ARGS__);                                         \
  static const fakecuda::kernel kernel_##name(#name, threads, name);     \
  static void name(__VA_ARGS__)
#define DEVICE static inline
#define DEVICE_MEMBER
#define GRID_CONSTANT
#define UNROLL // costs the host compiler more time than it saves
#define UNROLL_BY_4
#define NO_UNROLL

// Last parameters of what can fail: the caller's line.
#define CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define PLACE(name) fakecuda::place{name, file, line}

struct alignas(16) word4 {
  uint32_t x, y, z, w;
};
struct alignas(8) word2 {
  uint32_t x, y;
};

// ---- Memory -------------------------------------------------------------------

template <class T>
DEVICE T load_aligned(const T *p, const fakecuda::place &at) {
  fakecuda::check_aligned(p, sizeof(T), at);
  T v;
  memcpy(&v, p, sizeof v);
  return v;
}
// Hardware takes an address of shared memory for a wrong one.
template <class T>
DEVICE T load_global(const T *p, const fakecuda::place &at) {
  fakecuda::check_global(p, at);
  return load_aligned(p, at);
}
DEVICE word4 load_weights(const word4 *p, CALLER) { return load_global(p, PLACE("load_weights")); }
DEVICE word2 load_weights(const word2 *p, CALLER) { return load_global(p, PLACE("load_weights")); }
DEVICE uint32_t load_weights(const uint32_t *p, CALLER) { return load_global(p, PLACE("load_weights")); }
DEVICE word4 load_shared_by_all(const word4 *p, CALLER) { return load_global(p, PLACE("load_shared_by_all")); }
DEVICE word2 load_shared_by_all(const word2 *p, CALLER) { return load_global(p, PLACE("load_shared_by_all")); }
DEVICE uint32_t load_shared_by_all(const uint32_t *p, CALLER) { return load_global(p, PLACE("load_shared_by_all")); }
DEVICE word4 load_of_blocks(const word4 *p, CALLER) { return load_global(p, PLACE("load_of_blocks")); }
DEVICE uint32_t load_of_blocks(const uint32_t *p, CALLER) { return load_global(p, PLACE("load_of_blocks")); }
DEVICE uint64_t load_of_blocks(const uint64_t *p, CALLER) { return load_global(p, PLACE("load_of_blocks")); }
DEVICE word4 load_anywhere(const word4 *p, CALLER) { return load_aligned(p, PLACE("load_anywhere")); }

template <int bytes>
DEVICE uint32_t *block_memory() {
  return (uint32_t *)fakecuda::static_memory(bytes);
}
// As many bytes as the launch asked for.
DEVICE uint32_t *dynamic_block_memory() { return (uint32_t *)fakecuda::dynamic_memory(); }

// Each returns what was there before.
template <class T>
DEVICE T atomic_add_any(T *p, T v, const fakecuda::place &at) {
  fakecuda::give_way();
  T before = load_aligned(p, at), after;
  __builtin_add_overflow(before, v, &after);
  *p = after;
  fakecuda::give_way();
  return before;
}
DEVICE uint32_t atomic_add(uint32_t *p, uint32_t v, CALLER) { return atomic_add_any(p, v, PLACE("atomic_add")); }
DEVICE int atomic_add(int *p, int v, CALLER) { return atomic_add_any(p, v, PLACE("atomic_add")); }
DEVICE uint64_t atomic_add(uint64_t *p, uint64_t v, CALLER) { return atomic_add_any(p, v, PLACE("atomic_add")); }
DEVICE float atomic_add(float *p, float v, CALLER) {
  fakecuda::give_way();
  float before = load_aligned(p, PLACE("atomic_add"));
  *p = before + v;
  fakecuda::give_way();
  return before;
}
// Counts 0, 1, ... last, 0.
DEVICE uint32_t atomic_inc(uint32_t *p, uint32_t last, CALLER) {
  fakecuda::give_way();
  uint32_t before = load_aligned(p, PLACE("atomic_inc"));
  *p = before >= last ? 0 : before + 1;
  fakecuda::give_way();
  return before;
}
// Memory is coherent here; other blocks may run in between.
DEVICE void device_fence() { fakecuda::give_way(); }

// ---- Arithmetic ---------------------------------------------------------------

DEVICE int dot4_us(uint32_t u, uint32_t s, int acc) {
  uint32_t sum = (uint32_t)acc;
  for (int i = 0; i < 32; i += 8) sum += (uint32_t)((int)(uint8_t)(u >> i) * (int8_t)(s >> i));
  return (int)sum;
}
DEVICE int dot4_ss(uint32_t a, uint32_t b, int acc) {
  uint32_t sum = (uint32_t)acc;
  for (int i = 0; i < 32; i += 8) sum += (uint32_t)((int8_t)(a >> i) * (int8_t)(b >> i));
  return (int)sum;
}

DEVICE float fma_rn(float a, float b, float c) { return fmaf(a, b, c); }
DEVICE float mul_rn(float a, float b) { return a * b; }
DEVICE float add_rn(float a, float b) { return a + b; }
DEVICE float div_rn(float a, float b) { return a / b; }
DEVICE float reciprocal_root(float a) { return 1.0f / sqrtf(a); }
DEVICE float int_to_float(int i) { return (float)i; }
// Saturates; NaN gives 0.
DEVICE int float_to_int_rn(float f) {
  if (f != f) return 0;
  if (f >= 2147483648.0f) return INT32_MAX;
  if (f <= -2147483648.0f) return INT32_MIN;
  return (int)nearbyintf(f);
}
DEVICE float bits_to_float(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
DEVICE uint32_t float_to_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

DEVICE float f16_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
  if (exponent == 31) return bits_to_float(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0));
  if (exponent) return bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
  float tiny = (float)fraction * 0x1p-24f; // exact
  return sign ? -tiny : tiny;
}
// Round to nearest even; every NaN becomes 0x7fff, as cvt.rn.f16.f32 has it.
DEVICE uint16_t float_to_f16(float f) {
  uint32_t u = float_to_bits(f), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); // rounds past 65504
  if (magnitude < 0x38800000u) { // below 2^-14: multiples of 2^-24
    float scaled = nearbyintf(bits_to_float(magnitude) * 0x1p24f);
    return (uint16_t)(sign | (uint32_t)scaled);
  }
  uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
}

// ---- What threads do together -------------------------------------------------

struct lane_exchange {
  uint32_t bits, from, result;
};
DEVICE void exchange_all(void *const *lanes) {
  for (int i = 0; i < 32; i++) {
    lane_exchange *mine = (lane_exchange *)lanes[i];
    if (mine && lanes[mine->from]) mine->result = ((lane_exchange *)lanes[mine->from])->bits;
  }
}
// The value of lane `from`; the own one where there is no such lane.
DEVICE uint32_t shuffle_bits(uint32_t bits, uint32_t from, const fakecuda::place &at) {
  lane_exchange mine = {bits, from < 32 ? from : fakecuda::lane_number(), 0};
  fakecuda::do_together(0xffffffffu, &mine, exchange_all, false, at);
  return mine.result;
}

#define SHUFFLE(name, from)                                                                                  \
  DEVICE uint32_t name(uint32_t v, int n, CALLER) { return shuffle_bits(v, from, PLACE(#name)); }             \
  DEVICE int name(int v, int n, CALLER) { return (int)shuffle_bits((uint32_t)v, from, PLACE(#name)); }        \
  DEVICE float name(float v, int n, CALLER) {                                                                 \
    return bits_to_float(shuffle_bits(float_to_bits(v), from, PLACE(#name)));                                 \
  }
SHUFFLE(shuffle_xor, fakecuda::lane_number() ^ (uint32_t)n)
SHUFFLE(shuffle_down, fakecuda::lane_number() + (uint32_t)n)
SHUFFLE(shuffle_from, (uint32_t)n & 31)
#undef SHUFFLE

struct lane_vote {
  bool yes;
  uint32_t ballot;
};
DEVICE void vote_all(void *const *lanes) {
  uint32_t ballot = 0;
  for (int i = 0; i < 32; i++)
    if (lanes[i] && ((lane_vote *)lanes[i])->yes) ballot |= 1u << i;
  for (int i = 0; i < 32; i++)
    if (lanes[i]) ((lane_vote *)lanes[i])->ballot = ballot;
}
// Bit i is what lane i says; 0 for a lane that has ended.
DEVICE uint32_t warp_ballot(bool yes, CALLER) {
  lane_vote mine = {yes, 0};
  fakecuda::do_together(0xffffffffu, &mine, vote_all, true, PLACE("warp_ballot"));
  return mine.ballot;
}
DEVICE bool warp_any(bool yes, CALLER) {
  lane_vote mine = {yes, 0};
  fakecuda::do_together(0xffffffffu, &mine, vote_all, true, PLACE("warp_any"));
  return mine.ballot != 0;
}
DEVICE bool warp_all(bool yes, CALLER) {
  lane_vote mine = {!yes, 0};
  fakecuda::do_together(0xffffffffu, &mine, vote_all, true, PLACE("warp_all"));
  return mine.ballot == 0;
}
DEVICE void nothing_to_exchange(void *const *) {}
DEVICE void warp_barrier(CALLER) {
  fakecuda::do_together(0xffffffffu, nullptr, nothing_to_exchange, true, PLACE("warp_barrier"));
}
DEVICE void block_barrier(CALLER) { fakecuda::wait_for_block(PLACE("block_barrier")); }

// ---- Where a thread is --------------------------------------------------------

#define POSITION(name, of)                                        \
  DEVICE uint32_t name##_x() { return fakecuda::now->of.x; }      \
  DEVICE uint32_t name##_y() { return fakecuda::now->of.y; }      \
  DEVICE uint32_t name##_z() { return fakecuda::now->of.z; }
POSITION(thread, thread)
POSITION(block, block)
POSITION(threads, threads)
POSITION(blocks, blocks)
#undef POSITION

DEVICE void allow_next_kernel() {}
DEVICE void wait_for_previous_kernel() { fakecuda::previous_kernel_waited_for(); }
enum { STARTS_EARLY = 1 };
DEVICE void prefetch(const void *) {}

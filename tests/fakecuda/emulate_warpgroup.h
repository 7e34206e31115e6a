// SPDX-License-Identifier: MIT
//
// What ptx/warpgroup.cuh names beyond tensor.cuh, for the host. Included by warpgroup.cuh
// under WEIR_EMULATE, after panel_place. Products are done when they are begun, by each
// warp of the four for its own 16 rows; registers are never short.
#pragma once

#define KERNEL_PAIR(threads, name, ...)                                  \
  static void name(__VA_ARGS__);                                         \
  static const fakecuda::kernel kernel_##name(#name, threads, 2, name);  \
  static void name(__VA_ARGS__)

DEVICE uint32_t one_of_warp(uint32_t v, CALLER) { return shuffle_bits(v, 0, PLACE("one_of_warp")); }
DEVICE void forget(uint32_t &) {}
template <int registers>
DEVICE void take_registers() {}
template <int registers>
DEVICE void leave_registers() {}

// ---- Products -----------------------------------------------------------------

DEVICE void products_begin() {}
DEVICE void products_commit() {}
template <int left, int count>
DEVICE void products_wait(float (&)[count]) {}

// 16 bits of column d of a row of panels.
DEVICE uint32_t panel_element(const uint8_t *panels, uint32_t rows, uint32_t row, uint32_t d,
                              const fakecuda::place &at) {
  const uint8_t *p = panels + panel_place(rows, row, d / 8 * 8) + d % 8 * 2;
  fakecuda::check_shared(p, 2, at);
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}
DEVICE uint32_t panel_pair(const uint8_t *panels, uint32_t rows, uint32_t row, uint32_t d, const fakecuda::place &at) {
  return panel_element(panels, rows, row, d, at) | panel_element(panels, rows, row, d + 1, at) << 16;
}

template <bool is_bf16>
DEVICE void multiply_64x64(float (&c)[32], const uint8_t *a, const uint8_t *b, int step, bool is_added, CALLER) {
  fakecuda::place at = PLACE("multiply_64x64");
  fakecuda::together_fn *all = is_bf16 ? fakecuda::multiply_bf16 : fakecuda::multiply_f16;
  uint32_t lane = fakecuda::lane_number(), row = thread_x() / 32 % 4 * 16 + lane / 4;
  uint32_t d = 16 * (uint32_t)step + 2 * (lane % 4), from_a[4];
  for (uint32_t i = 0; i < 4; i++) from_a[i] = panel_pair(a, 64, row + i % 2 * 8, d + i / 2 * 8, at);
  for (uint32_t j = 0; j < 8; j++) {
    float *four = c + 4 * j;
    for (int i = 0; i < 4 && !is_added; i++) four[i] = 0.0f;
    mma_with(all, four, from_a, panel_pair(b, 64, 8 * j + lane / 4, d, at),
             panel_pair(b, 64, 8 * j + lane / 4, d + 8, at), at);
  }
}

template <bool is_bf16>
DEVICE void multiply_64x256(float (&c)[128], const uint32_t *a, const uint8_t *b, uint32_t panel, CALLER) {
  fakecuda::place at = PLACE("multiply_64x256");
  fakecuda::together_fn *all = is_bf16 ? fakecuda::multiply_bf16 : fakecuda::multiply_f16;
  uint32_t lane = fakecuda::lane_number(), row = 2 * (lane % 4), rows = panel / PANEL_ROW;
  for (uint32_t j = 0; j < 32; j++) {
    uint32_t d = 8 * j + lane / 4, from_b[2];
    for (uint32_t i = 0; i < 2; i++)
      from_b[i] = panel_element(b, rows, row + 8 * i, d, at) | panel_element(b, rows, row + 8 * i + 1, d, at) << 16;
    mma_with(all, c + 4 * j, a, from_b[0], from_b[1], at);
  }
}

// ---- The other block of the pair --------------------------------------------------

DEVICE void pair_arrive(CALLER) { fakecuda::arrive_at_cluster(PLACE("pair_arrive")); }
DEVICE void pair_wait(CALLER) { fakecuda::wait_for_cluster(PLACE("pair_wait")); }

struct there {
  void *at;
};
DEVICE there in_block(const void *shared, uint32_t rank, CALLER) {
  return {fakecuda::place_in_block(shared, rank, PLACE("in_block"))};
}
DEVICE void store_there(there to, uint32_t offset, const float *four, there barrier, CALLER) {
  fakecuda::store_in_cluster((char *)to.at + offset, four, 16, (uint64_t *)barrier.at, PLACE("store_there"));
}
DEVICE void barrier_arrive_there(there barrier, CALLER) {
  fakecuda::arrive_in_cluster((uint64_t *)barrier.at, PLACE("barrier_arrive_there"));
}
DEVICE void barrier_wait_for_pair(uint64_t *barrier, uint32_t parity, CALLER) {
  fakecuda::wait_for_phase(barrier, parity, PLACE("barrier_wait_for_pair"));
}

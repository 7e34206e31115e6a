// SPDX-License-Identifier: MIT
//
// The yardstick of `weir bench`: reads `count` 16-byte words once and does next to
// nothing with them. `threads` is the size of the whole grid; every thread has up to
// four independent loads in flight, and neighbouring threads read neighbouring words.
#include "device.cuh"

// One xor in 2^128 is this one. It is there so that the loads are not optimised away.
DEVICE bool is_impossible(const word4 &v) {
  return v.x == 0x9e3779b9u && v.y == 0x7f4a7c15u && v.z == 0xbf58476du && v.w == 0x1ce4e5b9u;
}

DEVICE void add_to(word4 &sum, const word4 &v) {
  sum.x ^= v.x;
  sum.y ^= v.y;
  sum.z ^= v.z;
  sum.w ^= v.w;
}

KERNEL(512, plain_read, const word4 *from, uint64_t count, uint64_t threads, uint32_t *out) {
  uint64_t i = (uint64_t)block_x() * threads_x() + thread_x();
  word4 sum = {0, 0, 0, 0};
  for (; i + 3 * threads < count; i += 4 * threads) {
    word4 v[4];
    UNROLL for (int j = 0; j < 4; j++) v[j] = load_weights(from + i + j * threads);
    UNROLL for (int j = 0; j < 4; j++) add_to(sum, v[j]);
  }
  word4 rest[3] = {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
  UNROLL for (int j = 0; j < 3; j++)
    if (i + j * threads < count) rest[j] = load_weights(from + i + j * threads);
  UNROLL for (int j = 0; j < 3; j++) add_to(sum, rest[j]);
  if (is_impossible(sum)) *out = 1;
}

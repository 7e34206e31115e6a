// SPDX-License-Identifier: MIT
//
// Kernels that try the emulation: right ones, and one for each mistake that it must
// find. They are only compiled for the host.
#include "../../ptx/device.cuh"

KERNEL(128, selftest_add, const float *a, const float *b, float *out, uint32_t n) {
  uint32_t i = block_x() * threads_x() + thread_x();
  if (i < n) out[i] = add_rn(a[i], b[i]);
}

struct three_bytes {
  uint8_t byte[3];
};
struct five_words {
  uint32_t word[5];
};

// Parameters of many sizes, and none.
KERNEL(32, selftest_mixed, uint8_t a, uint16_t b, uint64_t c, five_words d, float e, double f, three_bytes g, int8_t h,
       double *out) {
  if (thread_x()) return;
  out[0] = a;
  out[1] = b;
  out[2] = (double)c;
  for (int i = 0; i < 5; i++) out[3 + i] = d.word[i];
  out[8] = e;
  out[9] = f;
  for (int i = 0; i < 3; i++) out[10 + i] = g.byte[i];
  out[13] = h;
}
KERNEL(1024, selftest_nothing) {}

// out[thread]: what each primitive gives to each of 64 threads, primitive after primitive.
KERNEL(64, selftest_primitives, uint32_t *out, uint32_t *counters) {
  uint32_t t = thread_x(), at = t;
  auto put = [&](uint32_t v) {
    out[at] = v;
    at += 64;
  };
  put(shuffle_xor(t * 10u, 5));
  put((uint32_t)shuffle_xor(-(int)t, 31));
  put(float_to_bits(shuffle_xor((float)t + 0.5f, 16)));
  put(shuffle_down(t, 3));
  put(shuffle_from(t, 7));
  put(warp_ballot(t % 3 == 0));
  put(warp_any(t == 40));
  put(warp_all(t < 32));
  put(atomic_add(&counters[0], 2u));
  put(atomic_inc(&counters[1], 9));
  put((uint32_t)atomic_add((int *)&counters[2], -1));
  atomic_add((float *)&counters[3], 0.25f);
  warp_barrier();
  if (t % 2) put(1); // divergence that meets again
  else put(2);
  put(shuffle_xor(t, 1));
  device_fence();
}

KERNEL(64, selftest_position, uint32_t *out) {
  uint32_t thread = thread_x() + threads_x() * (thread_y() + threads_y() * thread_z());
  uint32_t block = block_x() + blocks_x() * (block_y() + blocks_y() * block_z());
  out[block * threads_x() * threads_y() * threads_z() + thread] = block << 16 | thread;
}

// Bits of the arithmetic, for the test to compare with its own.
KERNEL(32, selftest_arithmetic, const uint32_t *in, uint32_t *out, uint32_t n) {
  for (uint32_t i = thread_x(); i < n; i += 32) {
    float a = bits_to_float(in[3 * i]), b = bits_to_float(in[3 * i + 1]), c = bits_to_float(in[3 * i + 2]);
    uint32_t *o = out + 8 * i;
    o[0] = float_to_bits(fma_rn(a, b, c));
    o[1] = float_to_bits(add_rn(mul_rn(a, b), c)); // never contracted
    o[2] = float_to_bits(div_rn(a, b));
    o[3] = (uint32_t)float_to_int_rn(a);
    o[4] = float_to_bits(f16_to_float((uint16_t)in[3 * i]));
    o[5] = float_to_f16(a);
    o[6] = (uint32_t)dot4_us(in[3 * i], in[3 * i + 1], (int)in[3 * i + 2]);
    o[7] = (uint32_t)dot4_ss(in[3 * i], in[3 * i + 1], (int)in[3 * i + 2]);
  }
}

// What shared memory holds before anybody writes, static and dynamic; then the sum
// of all threads' numbers by way of both.
KERNEL(256, selftest_shared, uint32_t *out, uint32_t dynamic_words) {
  uint32_t *fixed = block_memory<256 * 4>(), *dynamic = dynamic_block_memory();
  uint32_t t = thread_x(), *mine = out + 4 * block_x();
  if (t == 0) {
    mine[0] = fixed[17];
    mine[1] = dynamic[dynamic_words - 1];
    mine[2] = block_memory<64>() == fixed;
  }
  block_barrier();
  fixed[t] = t;
  block_barrier();
  if (t < dynamic_words) dynamic[t] = fixed[threads_x() - 1 - t] + 1;
  block_barrier();
  if (t) return;
  mine[3] = 0;
  for (uint32_t i = 0; i < dynamic_words; i++) mine[3] += dynamic[i];
}

// Sum of n numbers: the block that finishes last adds the partial sums. With
// `careless` nothing makes a block's warps finish before it says it is done.
KERNEL(128, selftest_last_block, const uint32_t *in, uint32_t n, uint32_t *partial, uint32_t *done, uint32_t *out,
       uint32_t careless) {
  uint32_t *sums = block_memory<32>(), t = thread_x();
  uint32_t i = block_x() * threads_x() + t;
  uint32_t sum = i < n ? in[i] : 0;
  for (int mask = 1; mask < 32; mask *= 2) sum += shuffle_xor(sum, mask);
  uint32_t warps = threads_x() / 32;
  if (t % 32 == 0) partial[block_x() * warps + t / 32] = sum;
  device_fence();
  if (!careless) block_barrier();
  if (t == 0) {
    sums[0] = atomic_inc(done, blocks_x() - 1);
    if (sums[0] == blocks_x() - 1) {
      uint32_t all = 0;
      for (uint32_t k = 0; k < blocks_x() * warps; k++) all += partial[k];
      *out = all;
    }
  }
}

// Every block notes in which order it came, and how far the others had got.
KERNEL(32, selftest_order, uint32_t *order, uint32_t *counter) {
  if (thread_x() == 0) order[atomic_add(counter, 1u)] = block_x();
  device_fence();
}

// ---- Mistakes -----------------------------------------------------------------

KERNEL(64, selftest_half_warp_shuffle, uint32_t *out) {
  uint32_t v = thread_x();
  if (v % 32 < 16) v = shuffle_xor(v, 1);
  else block_barrier();
  out[thread_x()] = v;
}
KERNEL(64, selftest_shuffle_after_end, uint32_t *out) {
  if (thread_x() % 32 == 9) return;
  out[thread_x()] = shuffle_xor(thread_x(), 1);
}
KERNEL(64, selftest_two_shuffles, uint32_t *out) {
  uint32_t v = thread_x();
  if (v % 2) v = shuffle_xor(v, 2);
  else
    v = shuffle_xor(v, 4);
  out[thread_x()] = v;
}
KERNEL(64, selftest_missed_barrier, uint32_t *out) {
  if (thread_x() < 32) block_barrier();
  else if (thread_x() == 32) out[0] = shuffle_xor(1u, 1);
}
KERNEL(64, selftest_two_barriers, uint32_t *out) {
  if (thread_x() < 32) block_barrier();
  else
    block_barrier();
  out[thread_x()] = 0;
}
KERNEL(64, selftest_ended_before_barrier, uint32_t *out) { // no mistake: only live threads count
  if (thread_x() == 5) return;
  block_barrier();
  out[thread_x()] = 1;
}
KERNEL(32, selftest_misaligned, const uint8_t *p, uint32_t *out) {
  word4 v = load_weights((const word4 *)(p + 4 * thread_x()));
  out[thread_x()] = v.x;
}
KERNEL(32, selftest_global_load_of_shared, uint32_t *out) {
  out[thread_x()] = load_shared_by_all(thread_x() ? out : block_memory<4>());
}
KERNEL(32, selftest_out_of_bounds, const uint32_t *p, uint32_t n, uint32_t *out) {
  if (thread_x() == 0) out[0] = load_weights(p + n);
}
KERNEL(32, selftest_shared_out_of_bounds, uint32_t *out, uint32_t words) {
  if (thread_x() == 0) out[0] = dynamic_block_memory()[words];
}
KERNEL(32, selftest_never_waits, uint32_t *out) { out[thread_x()] = 1; }
KERNEL(32, selftest_waits, uint32_t *out) {
  allow_next_kernel();
  wait_for_previous_kernel();
  out[thread_x()] = 1;
}
KERNEL(32, selftest_other_parameters, uint32_t a, uint64_t b) {
  (void)a;
  (void)b;
}

// SPDX-License-Identifier: MIT
//
// Quantised activations: the two layouts, and how a lane gets 64 of them.
//
//   vector: records of 80 bytes: 64 codes, then for each 32 of them float d and the
//           int16 sums of its halves. A lane's 64 codes are five 16-byte loads, and
//           four neighbouring records never meet in a bank of shared memory.
//   scalar: per row, kpad/32 blocks of 36 bytes: 32 codes, float d. A lane makes
//           18 four-byte loads and sums the codes again with dp4a, as the system that
//           weir surpasses did. The values are the same, bit for bit.
// kpad is k rounded up to 256; what lies past k is zero.
#pragma once

#include "device.cuh"

struct act64 {
  uint32_t code[16]; // four codes each, in order of k
  float d[2];
  int sum[4];        // of 16 codes each
};

DEVICE uint32_t act_row_bytes_vector(uint32_t kpad) { return kpad / 64 * 80; }
DEVICE uint32_t act_row_bytes_scalar(uint32_t kpad) { return kpad / 32 * 36; }

// A row of activations, 64 at a time: `at` counts 64s.
// Wherever they lie: in global memory, or staged in shared memory.
DEVICE act64 load_act_vector(const uint8_t *row, uint32_t at) {
  act64 a;
  const word4 *record = (const word4 *)(row + 80 * at);
  UNROLL for (int i = 0; i < 4; i++) {
    word4 v = load_anywhere(record + i);
    a.code[4 * i] = v.x;
    a.code[4 * i + 1] = v.y;
    a.code[4 * i + 2] = v.z;
    a.code[4 * i + 3] = v.w;
  }
  word4 meta = load_anywhere(record + 4);
  a.d[0] = bits_to_float(meta.x);
  a.d[1] = bits_to_float(meta.z);
  a.sum[0] = (int)(int16_t)(meta.y & 0xffff);
  a.sum[1] = (int)meta.y >> 16;
  a.sum[2] = (int)(int16_t)(meta.w & 0xffff);
  a.sum[3] = (int)meta.w >> 16;
  return a;
}

DEVICE act64 load_act_scalar(const uint8_t *row, uint32_t at) {
  act64 a;
  UNROLL for (int block = 0; block < 2; block++) {
    const uint32_t *words = (const uint32_t *)(row + 36 * (2 * at + block));
    UNROLL for (int i = 0; i < 8; i++) a.code[8 * block + i] = load_shared_by_all(words + i);
    a.d[block] = bits_to_float(load_shared_by_all(words + 8));
  }
  UNROLL for (int i = 0; i < 4; i++) {
    a.sum[i] = 0;
    UNROLL for (int j = 0; j < 4; j++) a.sum[i] = dot4_us(0x01010101u, a.code[4 * i + j], a.sum[i]);
  }
  return a;
}

// Elements at..at+3 of the row that starts at `row`; 0 past k. One load where the
// type is a half and the address allows it.
DEVICE void load_four(const void *x, uint64_t row, uint32_t at, uint32_t k, uint32_t x_type, float *out) {
  const uint16_t *halves = (const uint16_t *)x + row + at;
  if (x_type != TYPE_F32 && at + 4 <= k && (uint64_t)halves % 8 == 0) {
    word2 v = load_shared_by_all((const word2 *)halves);
    out[0] = half_to_float((uint16_t)v.x, x_type);
    out[1] = half_to_float((uint16_t)(v.x >> 16), x_type);
    out[2] = half_to_float((uint16_t)v.y, x_type);
    out[3] = half_to_float((uint16_t)(v.y >> 16), x_type);
    return;
  }
  UNROLL for (int i = 0; i < 4; i++) out[i] = at + i < k ? load_element(x, row + at + i, x_type) : 0.0f;
}

// Quantises one row in blocks of 32 (weir/plugin.h, WEIR_ACT_INT8). Eight lanes
// share a block, four values each. `x_type` is uniform.
template <bool vector>
DEVICE void quantize_rows(const void *x, uint8_t *act, uint32_t k, uint32_t kpad, uint32_t x_type) {
  allow_next_kernel();
  uint32_t thread = block_x() * threads_x() + thread_x();
  uint32_t block = thread / 8, part = thread % 8, m = block_y();
  wait_for_previous_kernel();
  bool inside = block < kpad / 32;
  float value[4];
  load_four(x, (uint64_t)m * k, inside ? 32 * block + 4 * part : k, k, x_type, value);
  uint32_t most = 0; // as bits: NaN above Inf above all numbers
  UNROLL for (int i = 0; i < 4; i++) {
    uint32_t magnitude = float_to_bits(value[i]) & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  UNROLL for (int mask = 1; mask < 8; mask *= 2) {
    uint32_t other = shuffle_xor(most, mask);
    most = other > most ? other : most;
  }
  float d = div_rn(bits_to_float(most), 127.0f);
  float r = d > 0.0f ? reciprocal_rn(d) : 0.0f;
  if (most < 0x7f800000u && float_to_bits(r) == 0x7f800000u) d = r = 0.0f; // 1/d is beyond f32: a zero block
  if (most >= 0x7f800000u) { // a NaN or an Inf: d carries it, the codes are 0
    d = bits_to_float(0x7fc00000u);
    r = 0.0f;
  }
  uint32_t codes = 0;
  int sum = 0;
  UNROLL for (int i = 0; i < 4; i++) {
    int q = most >= 0x7f800000u ? 0 : float_to_int_rn(mul_rn(value[i], r));
    q = q < -128 ? -128 : q > 127 ? 127 : q;
    sum += q;
    codes |= ((uint32_t)q & 0xffu) << (8 * i);
  }
  sum += shuffle_xor(sum, 1);
  sum += shuffle_xor(sum, 2); // of 16 values
  int other = shuffle_xor(sum, 4);
  if (!inside) return;
  if (vector) {
    uint8_t *row = act + (uint64_t)m * act_row_bytes_vector(kpad);
    uint32_t *record = (uint32_t *)(row + block / 2 * 80);
    record[block % 2 * 8 + part] = codes;
    if (part == 0) {
      uint32_t *meta = record + 16 + block % 2 * 2;
      meta[0] = float_to_bits(d);
      meta[1] = ((uint32_t)sum & 0xffffu) | (uint32_t)other << 16;
    }
  } else {
    uint32_t *words = (uint32_t *)(act + (uint64_t)m * act_row_bytes_scalar(kpad)) + 9 * block;
    words[part] = codes;
    if (part == 0) words[8] = float_to_bits(d);
  }
}

// SPDX-License-Identifier: MIT
//
// Quantised activations: the two layouts, and how a lane gets 64 of them.
//
//   vector: records of 320 bytes for 256 k, which are four lanes' 64. Piece i of 64
//           bytes holds codes 16i..16i+15 of each lane, side by side; in piece 4 a lane
//           has, for each 32 codes, float d and the int16 sums of their halves. So a
//           lane makes five 16-byte loads, and what a warp asks for in one of them is
//           half a line of L1 and never meets in a bank of shared memory.
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
  const word4 *record = (const word4 *)(row + 320 * (at / 4) + 16 * (at % 4));
  UNROLL for (int i = 0; i < 4; i++) {
    word4 v = load_anywhere(record + 4 * i);
    a.code[4 * i] = v.x;
    a.code[4 * i + 1] = v.y;
    a.code[4 * i + 2] = v.z;
    a.code[4 * i + 3] = v.w;
  }
  word4 meta = load_anywhere(record + 16);
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

// d of a block of 32 whose largest magnitude has these bits, NaN being above Inf above
// all numbers; and what its values are multiplied with.
struct block_scale {
  float d, r;
  bool is_finite;
};
DEVICE block_scale scale_of(uint32_t most) {
  block_scale s;
  s.is_finite = most < 0x7f800000u;
  s.d = div_rn(bits_to_float(most), 127.0f);
  s.r = s.d > 0.0f ? reciprocal_rn(s.d) : 0.0f;
  if (s.is_finite && float_to_bits(s.r) == 0x7f800000u) s.d = s.r = 0.0f; // 1/d is beyond f32: a zero block
  if (!s.is_finite) { // d carries it, the codes are 0
    s.d = bits_to_float(0x7fc00000u);
    s.r = 0.0f;
  }
  return s;
}

// The code of x, in the lowest byte: x * r rounded half to even. Past 2^23 a float has no
// fraction, so the addition rounds, and leaves an integer in two's complement in the low
// bits. No clamp: 1/d is finite from d = 2^-128 on, where d has 22 bits or more, so that
// |x * r| is at most 127 (1 + 2^-20). Cheaper than a conversion, which has an eighth of
// the throughput.
DEVICE uint32_t code_of(float x, float r) { return float_to_bits(add_rn(mul_rn(x, r), 12582912.0f)); }

DEVICE uint32_t bytes_to_word(const uint32_t *codes) {
  return (codes[0] & 0xffu) | (codes[1] & 0xffu) << 8 | (codes[2] & 0xffu) << 16 | codes[3] << 24;
}

template <int count>
DEVICE void halves_to_floats(const uint32_t *words, uint32_t x_type, float *out) {
  UNROLL for (int i = 0; i < count; i++) out[i] = half_to_float((uint16_t)(words[i / 2] >> (i % 2 * 16)), x_type);
}

// `count` values from an address that is a multiple of 16, or of 8 for four halves.
template <int count>
DEVICE void load_wide_floats(const float *first, float *out) {
  UNROLL for (int i = 0; i < count / 4; i++) {
    word4 v = load_shared_by_all((const word4 *)first + i);
    out[4 * i] = bits_to_float(v.x), out[4 * i + 1] = bits_to_float(v.y);
    out[4 * i + 2] = bits_to_float(v.z), out[4 * i + 3] = bits_to_float(v.w);
  }
}
template <int count>
DEVICE void load_wide_halves(const uint16_t *first, uint32_t x_type, float *out) {
  uint32_t words[count / 2];
  if (count == 4) {
    word2 v = load_shared_by_all((const word2 *)first);
    words[0] = v.x, words[1] = v.y;
  }
  UNROLL for (int i = 0; i < count / 8; i++) {
    word4 v = load_shared_by_all((const word4 *)first + i);
    words[4 * i] = v.x, words[4 * i + 1] = v.y, words[4 * i + 2] = v.z, words[4 * i + 3] = v.w;
  }
  halves_to_floats<count>(words, x_type, out);
}

// Elements at..at+count-1 of the row that starts at `row`; 0 past k. Wide loads where the
// address allows them. count is 4 or 16.
template <int count>
DEVICE void load_values(const void *x, uint64_t row, uint32_t at, uint32_t k, uint32_t x_type, float *out) {
  const float *floats = (const float *)x + row + at;
  const uint16_t *halves = (const uint16_t *)x + row + at;
  bool is_f32 = x_type == TYPE_F32, is_inside = at + count <= k;
  if (is_inside && is_f32 && (uint64_t)floats % 16 == 0) {
    load_wide_floats<count>(floats, out);
  } else if (is_inside && !is_f32 && (uint64_t)halves % (count == 4 ? 8 : 16) == 0) {
    load_wide_halves<count>(halves, x_type, out);
  } else {
    UNROLL for (int i = 0; i < count; i++) out[i] = at + i < k ? load_element(x, row + at + i, x_type) : 0.0f;
  }
}

template <int count>
DEVICE uint32_t largest_bits(const float *value) {
  uint32_t most = 0;
  UNROLL for (int i = 0; i < count; i++) {
    uint32_t magnitude = float_to_bits(value[i]) & 0x7fffffffu;
    most = magnitude > most ? magnitude : most;
  }
  return most;
}

// The largest of so many neighbouring lanes, for each of them.
template <int lanes>
DEVICE uint32_t most_of_lanes(uint32_t most) {
  UNROLL for (int mask = 1; mask < lanes; mask *= 2) {
    uint32_t other = shuffle_xor(most, mask);
    most = other > most ? other : most;
  }
  return most;
}

// Both quantise one row in blocks of 32 (weir/plugin.h, WEIR_ACT_INT8). `x_type` is uniform.

// Two lanes share a block and make 16 codes each: one piece of a record, and its sum. A lane past
// the end loads what it then drops: that is sooner than not to load.
DEVICE void quantize_rows_vector(const void *x, uint8_t *act, uint32_t k, uint32_t kpad, uint32_t x_type) {
  allow_next_kernel();
  uint32_t sixteen = block_x() * threads_x() + thread_x(), m = block_y();
  wait_for_previous_kernel();
  bool inside = sixteen < kpad / 16;
  float value[16];
  load_values<16>(x, (uint64_t)m * k, inside ? 16 * sixteen : 0, k, x_type, value);
  block_scale scale = scale_of(most_of_lanes<2>(largest_bits<16>(value)));
  uint32_t word[4];
  int sum = 0;
  UNROLL for (int i = 0; i < 4; i++) {
    uint32_t code[4];
    UNROLL for (int j = 0; j < 4; j++) code[j] = code_of(value[4 * i + j], scale.r);
    word[i] = scale.is_finite ? bytes_to_word(code) : 0;
    sum = dot4_us(0x01010101u, word[i], sum);
  }
  if (!inside) return;
  uint32_t piece = sixteen % 4, lane = sixteen / 4 % 4;
  uint8_t *record = act + (uint64_t)m * act_row_bytes_vector(kpad) + sixteen / 16 * 320 + 16 * lane;
  *(word4 *)(record + 64 * piece) = {word[0], word[1], word[2], word[3]};
  uint8_t *meta = record + 256 + piece / 2 * 8;
  if (piece % 2 == 0) *(float *)meta = scale.d;
  *(int16_t *)(meta + 4 + piece % 2 * 2) = (int16_t)sum;
}

// A whole row for the block that will read it, in its shared memory: four lanes share 32 k
// and make eight codes each. at_once: loads of a thread that are under way at a time. There are no
// registers for many, as the first weights are under way as well.
DEVICE void quantize_eight(const float *value, uint32_t eighth, uint8_t *act) {
  block_scale scale = scale_of(most_of_lanes<4>(largest_bits<8>(value)));
  uint32_t code[8];
  UNROLL for (int i = 0; i < 8; i++) code[i] = code_of(value[i], scale.r);
  word2 words = {0, 0};
  if (scale.is_finite) words = {bytes_to_word(code), bytes_to_word(code + 4)};
  int sum = dot4_us(0x01010101u, words.x, dot4_us(0x01010101u, words.y, 0));
  sum += shuffle_xor(sum, 1);
  uint32_t piece = eighth / 2 % 4, lane = eighth / 8 % 4;
  uint8_t *record = act + eighth / 32 * 320 + 16 * lane, *meta = record + 256 + piece / 2 * 8;
  *(word2 *)(record + 64 * piece + eighth % 2 * 8) = words;
  if (eighth % 4 == 0) *(float *)meta = scale.d;
  if (eighth % 2 == 0) *(int16_t *)(meta + 4 + piece % 2 * 2) = (int16_t)sum;
}
template <int at_once>
DEVICE void quantize_for_block(const void *x, uint8_t *act, uint32_t k, uint32_t kpad, uint32_t x_type) {
  float value[8];
  uint32_t eighth = thread_x();
  bool is_f32 = x_type == TYPE_F32;
  uint32_t wide = k % 8 == 0 && (uint64_t)x % 16 == 0 ? k / 8 : 0; // eighths that can be loaded at once
  // Of a warp all or none have an eighth: kpad / 8 is a multiple of 32.
  NO_UNROLL for (; wide > 0 && is_f32 && eighth < kpad / 8; eighth += threads_x()) {
    UNROLL for (int j = 0; j < 8; j++) value[j] = 0.0f;
    if (eighth < wide) load_wide_floats<8>((const float *)x + 8 * eighth, value);
    quantize_eight(value, eighth, act);
  }
  NO_UNROLL while (wide > 0 && eighth < kpad / 8) {
    word4 raw[at_once];
    UNROLL for (int i = 0; i < at_once; i++) {
      raw[i] = {0, 0, 0, 0};
      if (eighth + i * threads_x() < wide) raw[i] = load_shared_by_all((const word4 *)x + eighth + i * threads_x());
    }
    UNROLL for (int i = 0; i < at_once; i++, eighth += threads_x()) {
      if (eighth >= kpad / 8) return;
      const uint32_t words[4] = {raw[i].x, raw[i].y, raw[i].z, raw[i].w};
      halves_to_floats<8>(words, x_type, value);
      quantize_eight(value, eighth, act);
    }
  }
  NO_UNROLL for (; eighth < kpad / 8; eighth += threads_x()) {
    UNROLL for (int j = 0; j < 8; j++) {
      uint32_t at = 8 * eighth + j;
      value[j] = 0.0f;
      if (at < k) value[j] = is_f32 ? ((const float *)x)[at] : half_to_float(((const uint16_t *)x)[at], x_type);
    }
    quantize_eight(value, eighth, act);
  }
}

// Eight lanes share a block and make four codes each.
DEVICE void quantize_rows_scalar(const void *x, uint8_t *act, uint32_t k, uint32_t kpad, uint32_t x_type) {
  allow_next_kernel();
  uint32_t thread = block_x() * threads_x() + thread_x();
  uint32_t block = thread / 8, part = thread % 8, m = block_y();
  wait_for_previous_kernel();
  bool inside = block < kpad / 32;
  float value[4];
  load_values<4>(x, (uint64_t)m * k, inside ? 32 * block + 4 * part : 0, k, x_type, value);
  block_scale scale = scale_of(most_of_lanes<8>(largest_bits<4>(value)));
  uint32_t code[4];
  UNROLL for (int i = 0; i < 4; i++) code[i] = code_of(value[i], scale.r);
  if (!inside) return;
  uint32_t *words = (uint32_t *)(act + (uint64_t)m * act_row_bytes_scalar(kpad)) + 9 * block;
  words[part] = scale.is_finite ? bytes_to_word(code) : 0;
  if (part == 0) words[8] = float_to_bits(scale.d);
}

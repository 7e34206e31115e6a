/* SPDX-License-Identifier: MIT */

/* Elements of every weir_type to and from f64. Loading is exact. Storing rounds
 * once, to nearest and ties to even, straight from f64: by way of f32 a value
 * just beside a tie would first become the tie and then go the wrong way. */
#ifndef REF_NUMBER_H
#define REF_NUMBER_H

#include <string.h>

#include <weir/plugin.h>

static inline size_t ref_element_size(weir_type type) {
  switch (type) {
  case WEIR_F32:
    return 4;
  case WEIR_F16:
  case WEIR_BF16:
    return 2;
  case WEIR_U8:
  case WEIR_S8:
    return 1;
  default:
    return 0;
  }
}

static inline double ref_from_f32(const void *address) {
  float value;
  memcpy(&value, address, sizeof value);
  return value;
}

/* bf16 is the upper half of an f32. */
static inline double ref_from_bf16(const void *address) {
  uint16_t bits;
  memcpy(&bits, address, sizeof bits);
  uint32_t wide = (uint32_t)bits << 16;
  return ref_from_f32(&wide);
}

/* f16: sign 1, exponent 5 (bias 15), fraction 10; f64: 1, 11 (bias 1023), 52. */
static inline double ref_from_f16(const void *address) {
  uint16_t bits;
  memcpy(&bits, address, sizeof bits);
  uint64_t exponent = (bits >> 10) & 0x1f;
  uint64_t fraction = bits & 0x3ff;
  double magnitude;
  if (exponent == 0) {
    magnitude = (double)fraction * 0x1p-24;
  } else {
    uint64_t wide_exponent = exponent == 0x1f ? 0x7ff : exponent - 15 + 1023;
    uint64_t wide = wide_exponent << 52 | fraction << 42;
    memcpy(&magnitude, &wide, sizeof magnitude);
  }
  return bits & 0x8000 ? -magnitude : magnitude;
}

static inline double ref_load(weir_type type, const void *base, int64_t index) {
  const unsigned char *address = (const unsigned char *)base + index * (int64_t)ref_element_size(type);
  switch (type) {
  case WEIR_F32:
    return ref_from_f32(address);
  case WEIR_F16:
    return ref_from_f16(address);
  case WEIR_BF16:
    return ref_from_bf16(address);
  case WEIR_U8:
    return *address;
  case WEIR_S8:
    return *(const int8_t *)address;
  default:
    return 0;
  }
}

/* `count` adjacent elements of F32, F16 or BF16, from `index` on. */
static inline void ref_load_row(weir_type type, const void *base, int64_t index, uint32_t count, double *out_row) {
  const unsigned char *address = (const unsigned char *)base + index * (int64_t)ref_element_size(type);
  switch (type) {
  case WEIR_F32:
    for (uint32_t i = 0; i < count; i++) {
      out_row[i] = ref_from_f32(address + 4 * (size_t)i);
    }
    break;
  case WEIR_F16:
    for (uint32_t i = 0; i < count; i++) {
      out_row[i] = ref_from_f16(address + 2 * (size_t)i);
    }
    break;
  default:
    for (uint32_t i = 0; i < count; i++) {
      out_row[i] = ref_from_bf16(address + 2 * (size_t)i);
    }
  }
}

/* The nearest 16-bit number with a sign, 15 - fraction_bits exponent bits and
 * fraction_bits fraction bits; ties to even, too large is Inf, NaN is NaN. */
static inline uint16_t ref_to_16_bits(double value, int fraction_bits) {
  const uint64_t infinity = UINT64_C(0x7fff) >> fraction_bits << fraction_bits;
  const int bias = (1 << (14 - fraction_bits)) - 1;
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint64_t sign = bits >> 63 << 15;
  int exponent = (int)(bits >> 52 & 0x7ff);
  uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
  if (exponent == 0x7ff) {
    return (uint16_t)(sign | infinity | (fraction ? UINT64_C(1) << (fraction_bits - 1) : 0));
  }

  /* value = significand * 2^(exponent - 1075); `shift` of its low bits go. A
   * target exponent below 1 is a subnormal, which has fewer bits still. An f64
   * subnormal is treated as if normal: it is far below half of anything. */
  uint64_t significand = fraction | UINT64_C(1) << 52;
  int target = exponent - 1023 + bias;
  int shift = 52 - fraction_bits;
  if (target < 1) {
    shift += 1 - target;
    target = 1;
  }
  if (shift > 53) {
    return (uint16_t)sign;
  }
  uint64_t kept = significand >> shift;
  uint64_t dropped = significand & ((UINT64_C(1) << shift) - 1);
  uint64_t half = UINT64_C(1) << (shift - 1);
  if (dropped > half || (dropped == half && kept % 2 == 1)) {
    kept++;
  }
  /* The leading one of `kept` adds 1 to the exponent field; so does a carry. */
  uint64_t magnitude = ((uint64_t)(target - 1) << fraction_bits) + kept;
  return (uint16_t)(sign | (magnitude < infinity ? magnitude : infinity));
}

static inline void ref_store(weir_type type, void *base, int64_t index, double value) {
  unsigned char *address = (unsigned char *)base + index * (int64_t)ref_element_size(type);
  if (type == WEIR_F32) {
    float rounded = (float)value;
    memcpy(address, &rounded, sizeof rounded);
  } else {
    uint16_t rounded = ref_to_16_bits(value, type == WEIR_F16 ? 10 : 7);
    memcpy(address, &rounded, sizeof rounded);
  }
}

#endif

/* SPDX-License-Identifier: MIT */

/* Between f32 and the two 16-bit float types, in portable C, round half even. */
#ifndef WEIR_CPU_NUMBER_H
#define WEIR_CPU_NUMBER_H

#include <weir/plugin.h>

#include <string.h>

static inline uint32_t f32_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float f32_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float bf16_to_f32(uint16_t half) {
  return f32_from_bits((uint32_t)half << 16);
}

static inline uint16_t f32_to_bf16(float value) {
  uint32_t bits = f32_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return (uint16_t)(bits >> 16 | 0x40u); /* rounding could carry a NaN into an Inf */
  }
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float f16_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  uint32_t rest = half & 0x7fffu;
  if (rest >= 0x7c00u) {
    return f32_from_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  }
  if (rest >= 0x400u) {
    return f32_from_bits(sign | (rest + (112u << 10)) << 13);
  }
  return f32_from_bits(sign | f32_bits((float)rest * 0x1p-24f));
}

static inline uint16_t f32_to_f16(float value) {
  uint32_t bits = f32_bits(value);
  uint32_t sign = bits >> 16 & 0x8000u;
  uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) {
    return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
  }
  if (rest >= 0x477ff000u) { /* 65520, half way from the largest f16 to the next step */
    return (uint16_t)(sign | 0x7c00u);
  }
  if (rest >= 0x38800000u) { /* 2^-14, the smallest normal f16 */
    return (uint16_t)(sign | (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13);
  }
  /* In the sum the last bit is worth 2^-24, so the addition does the rounding. */
  return (uint16_t)(sign | (f32_bits(f32_from_bits(rest) + 0.5f) - f32_bits(0.5f)));
}

/* Element `index` of an array of `type`, one of the float types. */
static inline float number_load(const void *array, size_t index, weir_type type) {
  uint16_t half;
  float value;
  if (type == WEIR_F32) {
    memcpy(&value, (const char *)array + index * 4, 4);
    return value;
  }
  memcpy(&half, (const char *)array + index * 2, 2);
  return type == WEIR_F16 ? f16_to_f32(half) : bf16_to_f32(half);
}

static inline void number_store(void *array, size_t index, weir_type type, float value) {
  if (type == WEIR_F32) {
    memcpy((char *)array + index * 4, &value, 4);
    return;
  }
  uint16_t half = type == WEIR_F16 ? f32_to_f16(value) : f32_to_bf16(value);
  memcpy((char *)array + index * 2, &half, 2);
}

/* Bytes of an element; 0 for WEIR_NONE. */
static inline uint32_t number_size(weir_type type) {
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

#endif

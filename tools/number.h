/* SPDX-License-Identifier: MIT */

/* Exact conversions between the element types of weir/plugin.h and double. To a
 * narrower type they round once, to nearest even, also from double. */
#ifndef TOOLS_NUMBER_H
#define TOOLS_NUMBER_H

#include <weir/plugin.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t number_f32_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float number_f32_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float number_from_bf16(uint16_t bits) { return number_f32_from_bits((uint32_t)bits << 16); }

static inline uint16_t number_to_bf16(float value) {
  uint32_t bits = number_f32_bits(value);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return (uint16_t)((bits >> 16) | 0x40);
  }
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float number_from_f16(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ff;
  if (exponent == 0x1f) {
    return number_f32_from_bits(sign | 0x7f800000 | mantissa << 13);
  }
  if (exponent == 0) {
    float magnitude = (float)mantissa * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return number_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t number_to_f16(float value) {
  uint32_t bits = number_f32_bits(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  }
  if (magnitude >= 0x477ff000) { /* 65520 and up */
    return (uint16_t)(sign | 0x7c00);
  }
  if (magnitude >= 0x38800000) { /* 2^-14 and up: normal */
    uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    return (uint16_t)(sign | ((rounded - 0x38000000) >> 13));
  }
  uint32_t exponent = magnitude >> 23;
  if (exponent < 102) { /* below 2^-25 */
    return (uint16_t)sign;
  }
  uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000, shift = 126 - exponent;
  uint32_t half = UINT32_C(1) << (shift - 1), kept = mantissa >> shift, rest = mantissa & (2 * half - 1);
  kept += rest > half || (rest == half && (kept & 1));
  return (uint16_t)(sign | kept);
}

/* Round to odd: a second rounding of the result, to bf16 or f16, is then as if
 * it had been done from the double. */
static inline float number_f32_odd(double value) {
  float near = (float)value;
  if (isnan(value) || (double)near == value) {
    return near;
  }
  uint32_t bits = number_f32_bits(near);
  if (fabs((double)near) > fabs(value)) {
    bits--;
  }
  return number_f32_from_bits(bits | 1);
}

static inline size_t number_size(weir_type type) {
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

static inline const char *number_name(weir_type type) {
  switch (type) {
    case WEIR_NONE:
      return "none";
    case WEIR_F32:
      return "f32";
    case WEIR_F16:
      return "f16";
    case WEIR_BF16:
      return "bf16";
    case WEIR_U8:
      return "u8";
    case WEIR_S8:
      return "s8";
    default:
      return "unknown";
  }
}

/* Element `index` of an array of `type`. */
static inline double number_load(weir_type type, const void *array, uint64_t index) {
  const unsigned char *at = (const unsigned char *)array + index * number_size(type);
  uint16_t half;
  float single;
  switch (type) {
    case WEIR_F32:
      memcpy(&single, at, 4);
      return (double)single;
    case WEIR_F16:
      memcpy(&half, at, 2);
      return (double)number_from_f16(half);
    case WEIR_BF16:
      memcpy(&half, at, 2);
      return (double)number_from_bf16(half);
    case WEIR_U8:
      return *at;
    case WEIR_S8:
      return *(const signed char *)at;
    default:
      return 0;
  }
}

/* Integer types round to nearest even and saturate; NaN gives 0 there. */
static inline void number_store(weir_type type, void *array, uint64_t index, double value) {
  unsigned char *at = (unsigned char *)array + index * number_size(type);
  uint16_t half;
  float single;
  switch (type) {
    case WEIR_F32:
      single = (float)value;
      memcpy(at, &single, 4);
      return;
    case WEIR_F16:
      half = number_to_f16(number_f32_odd(value));
      memcpy(at, &half, 2);
      return;
    case WEIR_BF16:
      half = number_to_bf16(number_f32_odd(value));
      memcpy(at, &half, 2);
      return;
    case WEIR_U8:
      *at = (unsigned char)(value > 0 ? fmin(nearbyint(value), 255) : 0);
      return;
    case WEIR_S8:
      *(signed char *)at = (signed char)(isnan(value) ? 0 : fmax(fmin(nearbyint(value), 127), -128));
      return;
    default:
      return;
  }
}

/* What is left of `value` after a store and a load. */
static inline double number_round(weir_type type, double value) {
  double memory = 0;
  number_store(type, &memory, 0, value);
  return number_load(type, &memory, 0);
}

/* Largest finite value of a floating type. */
static inline double number_max(weir_type type) {
  return type == WEIR_F16 ? 65504.0 : type == WEIR_BF16 ? 0x1.fep127 : 0x1.fffffep127;
}

/* Distance between neighbouring values of a floating type in the binade of `value`. */
static inline double number_ulp(weir_type type, double value) {
  int digits = type == WEIR_F16 ? 11 : type == WEIR_BF16 ? 8 : 24;
  int lowest = type == WEIR_F16 ? -14 : -126;
  int exponent = value == 0 || !isfinite(value) ? lowest : ilogb(value);
  return ldexp(1.0, (exponent < lowest ? lowest : exponent) - (digits - 1));
}

#endif

/* SPDX-License-Identifier: MIT */

/* The blocks of GGUF's quantised types, after the published ggml layouts. A
 * product of a scale (11 significant bits), a sub-scale (at most 7) and a code
 * (at most 6) fits the 24 bits of an f32, so no product here rounds; a weight
 * with a minimum is rounded once, by its sum. */
#include "config.h"

#include <string.h>

#include "import.h"

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float load_half(const uint8_t *p) {
  uint32_t half = load_u16(p);
  uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ffu;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  float magnitude = (float)fraction * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

/* ---- Plain floats ---- */

static void values_f32(const uint8_t *data, uint64_t count, float *out_values) {
  for (uint64_t i = 0; i < count; i++) out_values[i] = float_of_bits(load_u32(data + 4 * i));
}

static void values_f16(const uint8_t *data, uint64_t count, float *out_values) {
  for (uint64_t i = 0; i < count; i++) out_values[i] = load_half(data + 2 * i);
}

static void values_bf16(const uint8_t *data, uint64_t count, float *out_values) {
  for (uint64_t i = 0; i < count; i++) out_values[i] = float_of_bits((uint32_t)load_u16(data + 2 * i) << 16);
}

/* ---- Blocks of 32: f16 scale [f16 min] [u32 high bits] codes ---- */

/* Byte j holds code j in its low nibble and code j + 16 in its high one; bit i of
 * `high` is bit 4 of code i. */
static void unpack_nibbles(const uint8_t *nibbles, uint32_t high, int zero, int8_t *out_codes) {
  for (int j = 0; j < 16; j++) {
    int low_bit = (int)(high >> j & 1) << 4, high_bit = (int)(high >> (j + 16) & 1) << 4;
    out_codes[j] = (int8_t)((nibbles[j] & 15) + low_bit - zero);
    out_codes[j + 16] = (int8_t)((nibbles[j] >> 4) + high_bit - zero);
  }
}

static void unpack_q4_0(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  (void)out_mins;
  out_scales[0] = load_half(block);
  unpack_nibbles(block + 2, 0, 8, out_codes);
}

static void unpack_q4_1(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  out_scales[0] = load_half(block);
  out_mins[0] = load_half(block + 2);
  unpack_nibbles(block + 4, 0, 0, out_codes);
}

static void unpack_q5_0(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  (void)out_mins;
  out_scales[0] = load_half(block);
  unpack_nibbles(block + 6, load_u32(block + 2), 16, out_codes);
}

static void unpack_q5_1(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  out_scales[0] = load_half(block);
  out_mins[0] = load_half(block + 2);
  unpack_nibbles(block + 8, load_u32(block + 4), 0, out_codes);
}

static void unpack_q8_0(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  (void)out_mins;
  out_scales[0] = load_half(block);
  memcpy(out_codes, block + 2, 32);
}

/* ---- Blocks of 256 ---- */

/* Q4_K and Q5_K: f16 scale, f16 min, then eight 6-bit sub-scales and sub-mins in
 * 12 bytes. Those of groups 0 to 3 are the low six bits of bytes 0 to 3 and 4 to
 * 7. Those of groups 4 to 7 are split: the low four bits are the nibbles of
 * bytes 8 to 11, the high two are the top bits of the bytes before. */
static void unpack_k_scales(const uint8_t *block, float *out_scales, float *out_mins) {
  float scale = load_half(block), min = load_half(block + 2);
  const uint8_t *s = block + 4;
  for (int g = 0; g < 4; g++) {
    out_scales[g] = scale * (float)(s[g] & 63);
    out_mins[g] = -(min * (float)(s[g + 4] & 63));
    out_scales[g + 4] = scale * (float)((s[g + 8] & 15) | (s[g] >> 6) << 4);
    out_mins[g + 4] = -(min * (float)((s[g + 8] >> 4) | (s[g + 4] >> 6) << 4));
  }
}

/* 32 bytes hold one group in their low nibbles and the next in their high ones. */
static void unpack_q4_k(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  unpack_k_scales(block, out_scales, out_mins);
  const uint8_t *nibbles = block + 16;
  for (int pair = 0; pair < 4; pair++)
    for (int j = 0; j < 32; j++) {
      out_codes[64 * pair + j] = (int8_t)(nibbles[32 * pair + j] & 15);
      out_codes[64 * pair + 32 + j] = (int8_t)(nibbles[32 * pair + j] >> 4);
    }
}

/* As Q4_K, and bit g of high[j] is bit 4 of code j of group g. */
static void unpack_q5_k(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  unpack_k_scales(block, out_scales, out_mins);
  const uint8_t *high = block + 16, *nibbles = block + 48;
  for (int pair = 0; pair < 4; pair++)
    for (int j = 0; j < 32; j++) {
      int nibble = nibbles[32 * pair + j], bits = high[j] >> 2 * pair;
      out_codes[64 * pair + j] = (int8_t)((nibble & 15) | (bits & 1) << 4);
      out_codes[64 * pair + 32 + j] = (int8_t)((nibble >> 4) | (bits >> 1 & 1) << 4);
    }
}

/* Two halves of 128 weights. Of each: 64 bytes of low nibbles, which hold weights
 * 0 to 63 low and 64 to 127 high, and 32 bytes whose bit pairs top up weights j,
 * j + 32, j + 64 and j + 96. Then 16 signed sub-scales and the f16 scale. */
static void unpack_q6_k(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins) {
  (void)out_mins;
  float scale = load_half(block + 208);
  for (int g = 0; g < 16; g++) out_scales[g] = scale * (float)(int8_t)block[192 + g];
  for (int half = 0; half < 2; half++) {
    const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
    int8_t *codes = out_codes + 128 * half;
    for (int j = 0; j < 32; j++) {
      codes[j] = (int8_t)(((low[j] & 15) | (high[j] & 3) << 4) - 32);
      codes[j + 32] = (int8_t)(((low[j + 32] & 15) | (high[j] >> 2 & 3) << 4) - 32);
      codes[j + 64] = (int8_t)(((low[j] >> 4) | (high[j] >> 4 & 3) << 4) - 32);
      codes[j + 96] = (int8_t)(((low[j + 32] >> 4) | (high[j] >> 6) << 4) - 32);
    }
  }
}

/* ---- The types ---- */

const char import_type_names[] = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K";

static const struct import_type types[] = {
    {.type = GGUF_TENSOR_F32, .op = WEIR_OP_INT8_MATVEC, .values = values_f32},
    {.type = GGUF_TENSOR_F16, .op = WEIR_OP_INT8_MATVEC, .values = values_f16},
    {.type = GGUF_TENSOR_BF16, .op = WEIR_OP_INT8_MATVEC, .values = values_bf16},
    {GGUF_TENSOR_Q4_0, WEIR_OP_INT4_MATVEC, 32, WEIR_FORM_ZERO, WEIR_F16, 8, unpack_q4_0, NULL},
    {GGUF_TENSOR_Q4_1, WEIR_OP_INT4_MATVEC, 32, WEIR_FORM_MIN, WEIR_F16, 0, unpack_q4_1, NULL},
    {GGUF_TENSOR_Q5_0, WEIR_OP_INT8_MATVEC, 32, WEIR_FORM_ZERO, WEIR_F16, 0, unpack_q5_0, NULL},
    {GGUF_TENSOR_Q5_1, WEIR_OP_INT8_MATVEC, 32, WEIR_FORM_MIN, WEIR_F16, 0, unpack_q5_1, NULL},
    {GGUF_TENSOR_Q8_0, WEIR_OP_INT8_MATVEC, 32, WEIR_FORM_ZERO, WEIR_F16, 0, unpack_q8_0, NULL},
    {GGUF_TENSOR_Q4_K, WEIR_OP_INT4_MATVEC, 32, WEIR_FORM_MIN, WEIR_F32, 0, unpack_q4_k, NULL},
    {GGUF_TENSOR_Q5_K, WEIR_OP_INT8_MATVEC, 32, WEIR_FORM_MIN, WEIR_F32, 0, unpack_q5_k, NULL},
    {GGUF_TENSOR_Q6_K, WEIR_OP_INT8_MATVEC, 16, WEIR_FORM_ZERO, WEIR_F32, 0, unpack_q6_k, NULL},
};

const struct import_type *import_type_find(uint32_t tensor_type) {
  for (size_t i = 0; i < COUNT_OF(types); i++)
    if (types[i].type == tensor_type) return &types[i];
  return NULL;
}

void import_row_values(const struct import_type *type, const struct gguf_layout *layout, const uint8_t *row,
                       uint64_t k, float *out_values) {
  if (type->values) {
    type->values(row, k, out_values);
    return;
  }
  int8_t codes[IMPORT_BLOCK_MAX];
  float scales[IMPORT_BLOCK_GROUPS], mins[IMPORT_BLOCK_GROUPS];
  for (uint64_t at = 0; at < k; at += layout->block, row += layout->bytes) {
    type->unpack(row, codes, scales, mins);
    for (uint32_t i = 0; i < layout->block; i++) {
      float product = scales[i / type->group] * (float)codes[i];
      out_values[at + i] = type->form == WEIR_FORM_MIN ? product + mins[i / type->group] : product;
    }
  }
}

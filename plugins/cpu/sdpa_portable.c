/* SPDX-License-Identifier: MIT */

/* Attention kernels in plain C, for machines without a special path. */

#include <math.h>

#include "number.h"
#include "sdpa.h"

enum { HEAD_DIM_MAX = 512, LANES = 8 };

/* 2^n * e^r, n the integer next to x / ln 2; e^r = 1 + r + r^2 P(r), P minimax on
 * |r| <= ln(2)/2 with error 2^-28. ln 2 is split so that n times the first part is
 * exact. Below -87 the value, under 2^-125, is taken as 0. */
float cpu_sdpa_exp(float x) {
  if (!(x >= -87.0f)) {
    return x != x ? x : 0.0f;
  }
  if (x > 88.0f) {
    return INFINITY;
  }
  int n = (int)(x * 1.44269504f + (x < 0 ? -0.5f : 0.5f));
  float r = x - (float)n * 0x1.63p-1f + (float)n * 0x1.bd0106p-13f;
  float p = 0x1.6a24d4p-10f;
  p = p * r + 0x1.123a5cp-7f;
  p = p * r + 0x1.5558f2p-5f;
  p = p * r + 0x1.555490p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = r * r * p + r + 1.0f;
  return p * f32_from_bits((uint32_t)(n + 127) << 23);
}

/* x + x^3 P(x^2) near 0, P minimax with error 2^-27; else through exp. */
static float tanh_of(float x) {
  float size = fabsf(x);
  if (size < 0.625f) {
    float z = x * x;
    float p = -0x1.76b3a8p-8f;
    p = p * z + 0x1.5258c0p-6f;
    p = p * z - 0x1.b844a0p-5f;
    p = p * z + 0x1.11076cp-3f;
    p = p * z - 0x1.555534p-2f;
    return x + x * z * p;
  }
  float t = size > 10.0f ? 1.0f : 1.0f - 2.0f / (cpu_sdpa_exp(2.0f * size) + 1.0f);
  return x < 0 ? -t : t;
}

static void load(weir_type type, weir_type kv_type, const void *row, uint32_t head_dim, float *out) {
  (void)kv_type;
  for (uint32_t d = 0; d < head_dim; d++) {
    out[d] = number_load(row, d, type);
  }
}

static void store(weir_type type, weir_type kv_type, const float *sum, float total, uint32_t head_dim, void *out) {
  (void)kv_type;
  for (uint32_t d = 0; d < head_dim; d++) {
    number_store(out, d, type, sum[d] / total);
  }
}

static uint64_t mask(weir_mask mask, const void *entries, uint32_t n, float *out_bias) {
  static const weir_type types[] = {
      [WEIR_MASK_F32] = WEIR_F32, [WEIR_MASK_F16] = WEIR_F16, [WEIR_MASK_BF16] = WEIR_BF16};
  uint64_t keep = 0;
  for (uint32_t j = 0; j < n; j++) {
    if (mask == WEIR_MASK_BOOL) {
      keep |= (uint64_t)(((const unsigned char *)entries)[j] != 0) << j;
    } else {
      out_bias[j] = number_load(entries, j, types[mask]);
      keep |= (uint64_t)(out_bias[j] != -INFINITY) << j;
    }
  }
  return keep;
}

static float dot(const float *a, const float *b, uint32_t head_dim) {
  float lane[LANES] = {0};
  for (uint32_t d = 0; d < head_dim; d += LANES) {
    for (int i = 0; i < LANES; i++) {
      lane[i] += a[d + i] * b[d + i];
    }
  }
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

static inline void dots(const struct sdpa_rows *rows, const void *const *k, uint32_t n, weir_type type) {
  float slot[HEAD_DIM_MAX];
  uint64_t any = 0;
  for (uint32_t r = 0; r < rows->count; r++) {
    any |= rows->keep[r];
  }
  for (uint32_t j = 0; j < n; j++) {
    if (any >> j & 1) {
      load(type, type, k[j], rows->head_dim, slot);
      for (uint32_t r = 0; r < rows->count; r++) {
        if (rows->keep[r] >> j & 1) {
          rows->weight[(size_t)r * rows->pitch + j] =
              dot(rows->q + (size_t)r * rows->head_dim, slot, rows->head_dim);
        }
      }
    }
  }
}

static void softmax_row(const struct sdpa_rows *rows, uint32_t r, uint32_t n, float scale, float softcap) {
  float *weight = rows->weight + (size_t)r * rows->pitch;
  const float *bias = rows->bias[r];
  float max = rows->max[r];
  for (uint32_t j = 0; j < n; j++) {
    if (!(rows->keep[r] >> j & 1)) {
      continue;
    }
    float score = weight[j] * scale;
    if (softcap != 0) {
      score = softcap * tanh_of(score / softcap);
    }
    if (bias) {
      score += bias[j];
    }
    weight[j] = score;
    max = score > max ? score : max;
  }
  float base = max == -INFINITY ? 0 : max; /* -inf - -inf would be NaN */
  float total = 0;
  for (uint32_t j = 0; j < n; j++) {
    if (rows->keep[r] >> j & 1) {
      weight[j] = cpu_sdpa_exp(weight[j] - base);
      total += weight[j];
    }
  }
  rows->rescale[r] = cpu_sdpa_exp(rows->max[r] - base);
  rows->total[r] = rows->total[r] * rows->rescale[r] + total;
  rows->max[r] = max;
}

static void softmax(const struct sdpa_rows *rows, uint32_t n, float scale, float softcap) {
  for (uint32_t r = 0; r < rows->count; r++) {
    if (rows->keep[r]) {
      softmax_row(rows, r, n, scale, softcap);
    }
  }
}

static inline void values(const struct sdpa_rows *rows, const void *const *v, uint32_t n, weir_type type) {
  const uint32_t head_dim = rows->head_dim;
  float slot[HEAD_DIM_MAX];
  uint64_t any = 0;
  for (uint32_t r = 0; r < rows->count; r++) {
    any |= rows->keep[r];
  }
  for (uint32_t j = 0; j < n; j++) {
    if (!(any >> j & 1)) {
      continue;
    }
    load(type, type, v[j], head_dim, slot);
    for (uint32_t r = 0; r < rows->count; r++) {
      if (rows->keep[r] >> j & 1) {
        float weight = rows->weight[(size_t)r * rows->pitch + j];
        float *part = rows->part + (size_t)r * head_dim;
        for (uint32_t d = 0; d < head_dim; d++) {
          part[d] += weight * slot[d];
        }
      }
    }
  }
  for (uint32_t r = 0; r < rows->count; r++) {
    if (rows->keep[r]) {
      float *part = rows->part + (size_t)r * head_dim;
      float *sum = rows->sum + (size_t)r * head_dim;
      for (uint32_t d = 0; d < head_dim; d++) {
        sum[d] = sum[d] * rows->rescale[r] + part[d];
        part[d] = 0;
      }
    }
  }
}

static void dots_f32(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n) {
  (void)ahead;
  dots(rows, k, n, WEIR_F32);
}
static void dots_f16(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n) {
  (void)ahead;
  dots(rows, k, n, WEIR_F16);
}
static void dots_bf16(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n) {
  (void)ahead;
  dots(rows, k, n, WEIR_BF16);
}
static void values_f32(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n) {
  (void)ahead;
  values(rows, v, n, WEIR_F32);
}
static void values_f16(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n) {
  (void)ahead;
  values(rows, v, n, WEIR_F16);
}
static void values_bf16(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n) {
  (void)ahead;
  values(rows, v, n, WEIR_BF16);
}

const struct sdpa_kernels cpu_sdpa_portable = {
    .name = "portable",
    .score = 50,
    .load = load,
    .store = store,
    .mask = mask,
    .dots = {[WEIR_F32] = dots_f32, [WEIR_F16] = dots_f16, [WEIR_BF16] = dots_bf16},
    .softmax = softmax,
    .values = {[WEIR_F32] = values_f32, [WEIR_F16] = values_f16, [WEIR_BF16] = values_bf16},
};

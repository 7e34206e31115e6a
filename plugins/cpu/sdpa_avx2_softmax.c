/* SPDX-License-Identifier: MIT */

/* Masks and the softmax of a tile, for AVX2. */

#include "sdpa_avx2.h"

#if defined(SDPA_AVX2)

#include <math.h>
#include <string.h>

/* ---- Mask --------------------------------------------------------------- */

AVX2_INLINE uint64_t mask_bool(const unsigned char *entries) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low = _mm256_loadu_si256((const __m256i *)entries);
  __m256i high = _mm256_loadu_si256((const __m256i *)(entries + 32));
  uint32_t no_low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, zero));
  uint32_t no_high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, zero));
  return ~((uint64_t)no_high << 32 | no_low);
}

AVX2_INLINE uint64_t mask_additive(weir_type type, const void *entries, uint32_t n, float *out_bias) {
  const __m256 none = _mm256_set1_ps(-INFINITY);
  uint64_t keep = 0;
  for (uint32_t j = 0; j < n; j += 8) {
    float last[8] = {0};
    __m256 bias;
    if (n - j >= 8) {
      bias = natural8(type, entries, j);
    } else {
      memcpy(last, (const char *)entries + j * size_of(type), (n - j) * size_of(type));
      bias = natural8(type, last, 0);
    }
    _mm256_storeu_ps(out_bias + j, bias);
    keep |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(bias, none, _CMP_NEQ_UQ)) << j;
  }
  return keep;
}

AVX2 uint64_t cpu_sdpa_avx2_mask(weir_mask mask, const void *entries, uint32_t n, float *out_bias) {
  const uint64_t within = ~(uint64_t)0 >> (64 - n);
  unsigned char copy[SDPA_TILE_MAX] = {0};
  switch (mask) {
  case WEIR_MASK_F32:
    return within & mask_additive(WEIR_F32, entries, n, out_bias);
  case WEIR_MASK_F16:
    return within & mask_additive(WEIR_F16, entries, n, out_bias);
  case WEIR_MASK_BF16:
    return within & mask_additive(WEIR_BF16, entries, n, out_bias);
  default:
    if (n == SDPA_TILE_MAX) {
      return mask_bool(entries);
    }
    memcpy(copy, entries, n);
    return mask_bool(copy);
  }
}

/* ---- Softmax ------------------------------------------------------------ */

/* As cpu_sdpa_exp, for x up to 88. */
AVX2_INLINE __m256 exp8(__m256 x) {
  __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.63p-1f), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(0x1.bd0106p-13f), r);
  __m256 p = _mm256_set1_ps(0x1.6a24d4p-10f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.123a5cp-7f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f2p-5f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555490p-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
  p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(r, r), p, r), _mm256_set1_ps(1.0f));
  __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  __m256 y = _mm256_mul_ps(p, _mm256_castsi256_ps(power));
  return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_LT_OQ), y); /* a NaN is not less */
}

AVX2_INLINE __m256 tanh8(__m256 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 one = _mm256_set1_ps(1.0f);
  __m256 z = _mm256_mul_ps(x, x);
  __m256 p = _mm256_set1_ps(-0x1.76b3a8p-8f);
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(0x1.5258c0p-6f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-0x1.b844a0p-5f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(0x1.11076cp-3f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-0x1.555534p-2f));
  __m256 near = _mm256_fmadd_ps(_mm256_mul_ps(x, z), p, x);
  __m256 size = _mm256_andnot_ps(sign, x);
  __m256 bounded = _mm256_min_ps(_mm256_set1_ps(10.0f), size); /* gives the second operand for a NaN */
  __m256 power = exp8(_mm256_add_ps(bounded, bounded));
  __m256 far = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0f), _mm256_add_ps(power, one)));
  far = _mm256_or_ps(far, _mm256_and_ps(sign, x));
  return _mm256_blendv_ps(far, near, _mm256_cmp_ps(size, _mm256_set1_ps(0.625f), _CMP_LT_OQ));
}

AVX2_INLINE __m256 lanes_of_bits(uint64_t bits) {
  const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  __m256i chosen = _mm256_and_si256(_mm256_set1_epi32((int)(bits & 255)), each);
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(chosen, each));
}

AVX2_INLINE float greatest_of_8(__m256 x) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

AVX2_INLINE float sum_of_8(__m256 x) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* From dot products to scores, -inf where a slot is not attended; the greatest of
 * them and the row's maximum. A NaN leaves that alone, since max_ps gives its
 * second operand then; it shows in the weights. */
AVX2_INLINE float scores(const struct sdpa_rows *rows, uint32_t r, uint32_t n, float scale, float softcap) {
  const __m256 none = _mm256_set1_ps(-INFINITY);
  const __m256 cap = _mm256_set1_ps(softcap);
  float *weight = rows->weight + (size_t)r * rows->pitch;
  const float *bias = rows->bias[r];
  __m256 max = _mm256_set1_ps(rows->max[r]);
  for (uint32_t j = 0; j < n; j += 8) {
    __m256 score = _mm256_mul_ps(_mm256_loadu_ps(weight + j), _mm256_set1_ps(scale));
    if (softcap != 0) {
      score = _mm256_mul_ps(cap, tanh8(_mm256_div_ps(score, cap)));
    }
    if (bias) {
      score = _mm256_add_ps(score, _mm256_loadu_ps(bias + j));
    }
    score = _mm256_blendv_ps(none, score, lanes_of_bits(rows->keep[r] >> j));
    _mm256_storeu_ps(weight + j, score);
    max = _mm256_max_ps(score, max);
  }
  return greatest_of_8(max);
}

/* What exp() is taken relative to: -inf - -inf would be NaN. */
AVX2_INLINE __m256 base_of(__m256 max) {
  return _mm256_andnot_ps(_mm256_cmp_ps(max, _mm256_set1_ps(-INFINITY), _CMP_EQ_OQ), max);
}

AVX2 void cpu_sdpa_avx2_softmax(const struct sdpa_rows *rows, uint32_t n, float scale, float softcap) {
  for (uint32_t r = 0; r < rows->count; r++) {
    rows->rescale[r] = rows->keep[r] ? scores(rows, r, n, scale, softcap) : rows->max[r];
  }
  for (uint32_t r = 0; r < rows->count; r += 8) {
    __m256 max = _mm256_loadu_ps(rows->rescale + r);
    __m256 before = _mm256_loadu_ps(rows->max + r);
    _mm256_storeu_ps(rows->rescale + r, exp8(_mm256_sub_ps(before, base_of(max))));
    _mm256_storeu_ps(rows->max + r, max);
  }
  for (uint32_t r = 0; r < rows->count; r++) {
    if (!rows->keep[r]) {
      continue;
    }
    float *weight = rows->weight + (size_t)r * rows->pitch;
    const __m256 base = base_of(_mm256_set1_ps(rows->max[r]));
    __m256 total = _mm256_setzero_ps();
    for (uint32_t j = 0; j < n; j += 8) {
      __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(weight + j), base));
      _mm256_storeu_ps(weight + j, e);
      total = _mm256_add_ps(total, e);
    }
    rows->total[r] = rows->total[r] * rows->rescale[r] + sum_of_8(total);
  }
}

#endif

/* SPDX-License-Identifier: MIT */

/* What the AVX2 attention kernels share. Without the right target this is empty,
 * and so are they; no special compiler flags are needed. */
#ifndef WEIR_CPU_SDPA_AVX2_H
#define WEIR_CPU_SDPA_AVX2_H

#include "sdpa.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define SDPA_AVX2 1

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX2_INLINE static inline __attribute__((target("avx2,fma,f16c"), always_inline))

/* sdpa_kernels.mask and .softmax */
AVX2 uint64_t cpu_sdpa_avx2_mask(weir_mask mask, const void *entries, uint32_t n, float *out_bias);
AVX2 void cpu_sdpa_avx2_softmax(const struct sdpa_rows *rows, uint32_t n, float scale, float softcap);

AVX2_INLINE size_t size_of(weir_type type) {
  return type == WEIR_F32 ? 4 : 2;
}

/* 8 elements from element d on, in their natural order. */
AVX2_INLINE __m256 natural8(weir_type type, const void *row, uint32_t d) {
  const char *at = (const char *)row + d * size_of(type);
  if (type == WEIR_F32) {
    return _mm256_loadu_ps((const float *)at);
  }
  __m128i half = _mm_loadu_si128((const __m128i *)at);
  if (type == WEIR_F16) {
    return _mm256_cvtph_ps(half);
  }
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

#endif
#endif

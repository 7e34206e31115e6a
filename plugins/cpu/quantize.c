/* SPDX-License-Identifier: MIT */

/* Activations to blocks of 8-bit integers: d = max|x| / 127, q = round-half-even(x / d), as weir/plugin.h has it. */
#include "matvec.h"

#include "number.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INF_BITS 0x7f800000u

/* The scale of a block from the bits of its largest magnitude. Ordered as integers, every NaN is above Inf and Inf
 * above every number, so one maximum finds them all. Returns 1/d; 0 when the block has no values left. */
static inline float block_scale(uint32_t max_bits, float *out_d) {
  if (max_bits >= INF_BITS) {
    *out_d = f32_from_bits(INF_BITS | 0x400000u);
    return 0;
  }
  float d = f32_from_bits(max_bits) / 127.0f;
  float r = d > 0 ? 1.0f / d : 0;
  if (f32_bits(r) == INF_BITS) { /* so small that 1/d overflows: the block counts as zero */
    d = r = 0;
  }
  *out_d = d;
  return r;
}

/* Round half even of |x| < 128, from its bits. Float arithmetic here could be contracted with the multiplication
 * that made x, which would then not be rounded, and ties would go elsewhere. */
static inline int round_even(float x) {
  uint32_t bits = f32_bits(x);
  uint32_t exponent = bits >> 23 & 255;
  if (exponent < 126) { /* below 1/2 */
    return 0;
  }
  uint32_t shift = 150 - exponent;
  uint32_t mantissa = (bits & 0x7fffffu) | 0x800000u;
  uint32_t whole = mantissa >> shift;
  uint32_t rest = mantissa & ((1u << shift) - 1);
  uint32_t tie = 1u << (shift - 1);
  whole += rest > tie || (rest == tie && (whole & 1));
  return bits >> 31 ? -(int)whole : (int)whole;
}

static void quantize_block(const float *x, struct cpu_act_block *out) {
  uint32_t max_bits = 0;
  for (int i = 0; i < CPU_BLOCK; i++) {
    uint32_t bits = f32_bits(x[i]) & 0x7fffffffu;
    max_bits = bits > max_bits ? bits : max_bits;
  }
  int finite = max_bits < INF_BITS;
  float r = block_scale(max_bits, &out->d);
  int sums[2] = {0, 0};
  for (int i = 0; i < CPU_BLOCK; i++) {
    int q = finite ? round_even(x[i] * r) : 0;
    out->q[i] = (int8_t)q;
    sums[i / (CPU_BLOCK / 2)] += q;
  }
  out->half_sum[0] = (float)sums[0];
  out->half_sum[1] = (float)sums[1];
  out->sum = (float)(sums[0] + sums[1]);
}

static void load_block(const void *x, weir_type type, size_t at, size_t count, float *out) {
  for (size_t i = 0; i < CPU_BLOCK; i++) {
    out[i] = i < count ? number_load(x, at + i, type) : 0;
  }
}

void cpu_quantize_portable(const void *x, weir_type type, size_t count, struct cpu_act_block *out_blocks) {
  for (size_t at = 0; at < count; at += CPU_BLOCK) {
    float block[CPU_BLOCK];
    load_block(x, type, at, count - at, block);
    quantize_block(block, out_blocks++);
  }
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,fma,f16c")))

AVX2 static inline __m256 load8(const void *x, weir_type type, size_t at) {
  if (type == WEIR_F32) {
    return _mm256_loadu_ps((const float *)x + at);
  }
  __m128i half = _mm_loadu_si128((const __m128i *)(const void *)((const char *)x + at * 2));
  if (type == WEIR_F16) {
    return _mm256_cvtph_ps(half);
  }
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

AVX2 static inline uint32_t largest_lane(__m256i lanes) {
  __m128i max = _mm_max_epu32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  max = _mm_max_epu32(max, _mm_shuffle_epi32(max, 0x4e));
  max = _mm_max_epu32(max, _mm_shuffle_epi32(max, 0xb1));
  return (uint32_t)_mm_cvtsi128_si32(max);
}

AVX2 void cpu_quantize_avx2(const void *x, weir_type type, size_t count, struct cpu_act_block *out_blocks) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  /* The packs below work within 128 bits and leave groups of four values in the order 0 2 4 6 1 3 5 7. */
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  size_t at = 0;
  for (; count - at >= CPU_BLOCK; at += CPU_BLOCK, out_blocks++) {
    __m256 v[4];
    __m256i q[4];
    __m256i max = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
      v[i] = load8(x, type, at + (size_t)i * 8);
      max = _mm256_max_epu32(max, _mm256_castps_si256(_mm256_and_ps(v[i], magnitude)));
    }
    uint32_t max_bits = largest_lane(max);
    __m256 r = _mm256_set1_ps(block_scale(max_bits, &out_blocks->d));
    __m256i finite = _mm256_set1_epi32(max_bits < INF_BITS ? -1 : 0);
    for (int i = 0; i < 4; i++) {
      q[i] = _mm256_and_si256(finite, _mm256_cvtps_epi32(_mm256_mul_ps(v[i], r)));
    }
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, in_order);
    _mm256_storeu_si256((__m256i *)(void *)out_blocks->q, bytes);
    /* sums of pairs, of fours, then of the four fours of each half */
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    __m128i eights = _mm_hadd_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    eights = _mm_hadd_epi32(eights, eights);
    int low = _mm_cvtsi128_si32(eights), high = _mm_extract_epi32(eights, 1);
    out_blocks->half_sum[0] = (float)low;
    out_blocks->half_sum[1] = (float)high;
    out_blocks->sum = (float)(low + high);
  }
  if (at < count) {
    float block[CPU_BLOCK];
    load_block(x, type, at, count - at, block);
    quantize_block(block, out_blocks);
  }
}

#endif

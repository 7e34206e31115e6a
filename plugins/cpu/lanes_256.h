/* SPDX-License-Identifier: MIT */

/* The vectors of matvec_lanes.h in 256 bits; LANES_VNNI chooses how four products
 * of a lane are summed. */
#ifndef WEIR_CPU_LANES_256_H
#define WEIR_CPU_LANES_256_H

#include <immintrin.h>
#include <stdint.h>

#define LANES 8
#define INLINE ISA static inline __attribute__((always_inline))

typedef __m256i vint;
typedef __m256 vfloat;

INLINE void prefetch(const uint8_t *at) {
  _mm_prefetch((const char *)at, _MM_HINT_T0);
}

INLINE vint int_zero(void) {
  return _mm256_setzero_si256();
}

INLINE vint int_load(const uint8_t *at) {
  return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* Four bytes in every lane. */
INLINE vint int_broadcast(const uint8_t *at) {
  return _mm256_castps_si256(_mm256_broadcast_ss((const float *)(const void *)at));
}

INLINE vint low_nibbles(vint bytes) {
  return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
}

INLINE vint high_nibbles(vint bytes) {
  return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
}

INLINE vfloat float_set(float value) {
  return _mm256_set1_ps(value);
}

INLINE vfloat float_broadcast(const uint8_t *at) {
  return _mm256_broadcast_ss((const float *)(const void *)at);
}

INLINE vfloat float_multiply(vfloat a, vfloat b) {
  return _mm256_mul_ps(a, b);
}

INLINE vfloat float_fma(vfloat a, vfloat b, vfloat c) {
  return _mm256_fmadd_ps(a, b, c);
}

/* c - a * b */
INLINE vfloat float_minus_product(vfloat c, vfloat a, vfloat b) {
  return _mm256_fnmadd_ps(a, b, c);
}

INLINE void float_store(float *out, vfloat a) {
  _mm256_storeu_ps(out, a);
}

INLINE vfloat float_from_f32(const uint8_t *at) {
  return _mm256_loadu_ps((const float *)(const void *)at);
}

INLINE vfloat float_from_f16(const uint8_t *at) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
}

INLINE vfloat float_from_bf16(const uint8_t *at) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

INLINE vfloat float_from_u8(const uint8_t *at) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at)));
}

INLINE vfloat float_from_s8(const uint8_t *at) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)at)));
}

#if defined(LANES_VNNI)

INLINE vint add_dot4(vint sums, vint codes, vint q) {
  return _mm256_dpbusd_avx_epi32(sums, codes, q);
}

INLINE vfloat finish_dot4(vint sums) {
  return _mm256_cvtepi32_ps(sums);
}

/* vpdpbusd wants one unsigned factor: code + 128, and 128 * sum(q) comes off at the end. */
INLINE vint unsigned_part(vint codes) {
  return _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
}

INLINE vint add_dot8(vint sums, vint magnitude, vint codes, vint q) {
  (void)codes;
  return _mm256_dpbusd_avx_epi32(sums, magnitude, q);
}

INLINE vfloat finish_dot8(vint sums, vfloat sum) {
  return _mm256_fmadd_ps(_mm256_set1_ps(-128.0f), sum, _mm256_cvtepi32_ps(sums));
}

#else

/* Sums of pairs stay in 16 bits for a block: 8 times 2 * 15 * 127 is 30480. */
INLINE vint add_dot4(vint sums, vint codes, vint q) {
  return _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes, q));
}

INLINE vfloat finish_dot4(vint sums) {
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
}

/* vpmaddubsw wants one unsigned factor: the magnitude of the code, whose sign goes to q. A pair is at most
 * 2 * 128 * 127 = 32512, so nothing saturates, but two pairs no longer fit. */
INLINE vint unsigned_part(vint codes) {
  return _mm256_abs_epi8(codes);
}

INLINE vint add_dot8(vint sums, vint magnitude, vint codes, vint q) {
  __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, codes));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE vfloat finish_dot8(vint sums, vfloat sum) {
  (void)sum;
  return _mm256_cvtepi32_ps(sums);
}

#endif
#endif

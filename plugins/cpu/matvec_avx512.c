/* SPDX-License-Identifier: MIT */

/* The matvec kernels with AVX-512 VNNI: a vector holds all 16 rows of a tile. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define ISA __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define LANES 16
#define INLINE ISA static inline __attribute__((always_inline))

typedef __m512i vint;
typedef __m512 vfloat;

INLINE void prefetch(const uint8_t *at) {
  _mm_prefetch((const char *)at, _MM_HINT_T0);
}

INLINE vint int_zero(void) {
  return _mm512_setzero_si512();
}

INLINE vint int_load(const uint8_t *at) {
  return _mm512_loadu_si512(at);
}

INLINE vfloat float_broadcast(const uint8_t *at) {
  return _mm512_broadcastss_ps(_mm_load_ss((const float *)(const void *)at));
}

/* Four bytes in every lane. */
INLINE vint int_broadcast(const uint8_t *at) {
  return _mm512_castps_si512(float_broadcast(at));
}

INLINE vint low_nibbles(vint bytes) {
  return _mm512_and_si512(bytes, _mm512_set1_epi8(15));
}

INLINE vint high_nibbles(vint bytes) {
  return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15));
}

INLINE vfloat float_set(float value) {
  return _mm512_set1_ps(value);
}

INLINE vfloat float_multiply(vfloat a, vfloat b) {
  return _mm512_mul_ps(a, b);
}

INLINE vfloat float_fma(vfloat a, vfloat b, vfloat c) {
  return _mm512_fmadd_ps(a, b, c);
}

/* c - a * b */
INLINE vfloat float_minus_product(vfloat c, vfloat a, vfloat b) {
  return _mm512_fnmadd_ps(a, b, c);
}

INLINE void float_store(float *out, vfloat a) {
  _mm512_storeu_ps(out, a);
}

INLINE vfloat float_from_f32(const uint8_t *at) {
  return _mm512_loadu_ps(at);
}

INLINE vfloat float_from_f16(const uint8_t *at) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
}

INLINE vfloat float_from_bf16(const uint8_t *at) {
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)at));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE vfloat float_from_u8(const uint8_t *at) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at)));
}

INLINE vfloat float_from_s8(const uint8_t *at) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)at)));
}

INLINE vint add_dot4(vint sums, vint codes, vint q) {
  return _mm512_dpbusd_epi32(sums, codes, q);
}

INLINE vfloat finish_dot4(vint sums) {
  return _mm512_cvtepi32_ps(sums);
}

/* vpdpbusd wants one unsigned factor: code + 128, and 128 * sum(q) comes off at the end. */
INLINE vint unsigned_part(vint codes) {
  return _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
}

INLINE vint add_dot8(vint sums, vint magnitude, vint codes, vint q) {
  (void)codes;
  return _mm512_dpbusd_epi32(sums, magnitude, q);
}

INLINE vfloat finish_dot8(vint sums, vfloat sum) {
  return _mm512_fmadd_ps(_mm512_set1_ps(-128.0f), sum, _mm512_cvtepi32_ps(sums));
}

#include "matvec_lanes.h"

const struct cpu_matvec_isa cpu_matvec_avx512_vnni = {
  .name = "avx512-vnni",
  .features = WEIR_CPU_AVX512 | WEIR_CPU_AVX512_VNNI,
  .score = 100,
  .int4 = INT4_TABLE,
  .int8 = INT8_TABLE,
};

#else
typedef int weir_cpu_no_avx512;
#endif

/* SPDX-License-Identifier: MIT */

/* Attention kernels for AVX2 with FMA and F16C.
 *
 * K and V are converted in registers on every use: that hides behind the
 * multiply-adds, and needs no scratch. 16 elements are taken at a time. For BF16
 * one 32-byte load gives them as 16 even and odd halves of words, a shift and an
 * AND each; so rows of q and sums keep every 16 elements with the 8 even ones
 * first. A last group of 8 is in natural order, as is everything for other types.
 *
 * dots:   8 accumulators, 4 rows x 2 slots, 2 x 4 or 1 x 8, so that K is loaded
 *         once for up to 4 rows; the 8 sums are formed together at the end.
 * values: 2 rows x 4 slots; V streams, the sums of the tile stay in L1.
 *
 * Decode, one query, K and V in BF16 from DRAM, against a plain read of as many
 * bytes in the same run. Two Zen 3 cores that other jobs used too: medians and (best)
 * of the quietest of three runs.
 *   heads 32:16 D 256 kv 4096, 2 threads: 3.15 ms (2.76), 21.3 GB/s, read 26.3 (36.0)
 *                               1 thread: 5.08 ms (4.12), 13.2 GB/s, read 18.7 (22.3)
 *   heads 16:2  D 256 kv 8192, 2 threads: 2.29 ms (1.31),  7.3 GB/s, read 23.5 (34.6)
 *                               1 thread: 3.10 ms (2.25),  5.4 GB/s, read 18.7 (21.7)
 * The last two are bound by arithmetic: 8 rows share each K, 8 multiply-adds an
 * element, 60 Gflop/s a core at best. */

#include "sdpa_avx2.h"

#if defined(SDPA_AVX2)

#define EIGHT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* ---- Elements ----------------------------------------------------------- */

/* Which 8 elements: those of kernel order at d and d + 8 in a group of 16 from d
 * on, or the last 8 of a row. */
enum part { LOW, HIGH, LAST };

AVX2_INLINE __m256 elements(weir_type type, const void *row, uint32_t d, const enum part part) {
  if (type != WEIR_BF16 || part == LAST) {
    return natural8(type, row, part == HIGH ? d + 8 : d);
  }
  __m256i words = _mm256_loadu_si256((const __m256i *)((const char *)row + d * 2));
  return _mm256_castsi256_ps(part == LOW ? _mm256_slli_epi32(words, 16)
                                         : _mm256_and_si256(words, _mm256_set1_epi32((int)0xffff0000u)));
}

AVX2 static void load(weir_type type, weir_type kv_type, const void *row, uint32_t head_dim, float *out) {
  uint32_t d = 0;
  for (; d + 16 <= head_dim; d += 16) {
    __m256 low = natural8(type, row, d);
    __m256 high = natural8(type, row, d + 8);
    if (kv_type == WEIR_BF16) {
      __m256 even = _mm256_shuffle_ps(low, high, 0x88);
      __m256 odd = _mm256_shuffle_ps(low, high, 0xdd);
      low = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), 0xd8));
      high = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(odd), 0xd8));
    }
    _mm256_storeu_ps(out + d, low);
    _mm256_storeu_ps(out + d + 8, high);
  }
  if (d < head_dim) {
    _mm256_storeu_ps(out + d, natural8(type, row, d));
  }
}

AVX2_INLINE void store8(weir_type type, __m256 x, void *row, uint32_t d) {
  char *at = (char *)row + d * size_of(type);
  if (type == WEIR_F32) {
    _mm256_storeu_ps((float *)at, x);
    return;
  }
  if (type == WEIR_F16) {
    _mm_storeu_si128((__m128i *)at, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return;
  }
  __m256i bits = _mm256_castps_si256(x);
  __m256i top = _mm256_srli_epi32(bits, 16);
  __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
  __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40)); /* rounding could carry a NaN into an Inf */
  __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  __m256i half = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), quiet, is_nan);
  half = _mm256_permute4x64_epi64(_mm256_packus_epi32(half, half), 0xd8);
  _mm_storeu_si128((__m128i *)at, _mm256_castsi256_si128(half));
}

AVX2 static void store(weir_type type, weir_type kv_type, const float *sum, float total, uint32_t head_dim,
                       void *out) {
  const __m256 divisor = _mm256_set1_ps(total);
  uint32_t d = 0;
  for (; d + 16 <= head_dim; d += 16) {
    __m256 low = _mm256_div_ps(_mm256_loadu_ps(sum + d), divisor);
    __m256 high = _mm256_div_ps(_mm256_loadu_ps(sum + d + 8), divisor);
    if (kv_type == WEIR_BF16) {
      __m256 first = _mm256_unpacklo_ps(low, high);
      __m256 second = _mm256_unpackhi_ps(low, high);
      low = _mm256_permute2f128_ps(first, second, 0x20);
      high = _mm256_permute2f128_ps(first, second, 0x31);
    }
    store8(type, low, out, d);
    store8(type, high, out, d + 8);
  }
  if (d < head_dim) {
    store8(type, _mm256_div_ps(_mm256_loadu_ps(sum + d), divisor), out, d);
  }
}

/* ---- Memory ------------------------------------------------------------- */

/* Rows to fetch into the cache, spread evenly over the steps of a kernel: a step
 * earns the bytes it uses of K or V, a line costs 64 for each group of rows, as
 * each group passes over all. In their order, they come 1.7 times as fast as column
 * by column. */
struct fetch {
  const void *const *row;
  size_t at; /* byte of the row */
  size_t row_bytes, earned, cost;
};

AVX2_INLINE struct fetch fetch_start(const void *const *ahead, uint32_t head_dim, weir_type type, uint32_t groups) {
  return (struct fetch){.row = ahead, .row_bytes = head_dim * size_of(type), .cost = 64 * (size_t)groups};
}

AVX2_INLINE void fetch_step(struct fetch *fetch, size_t used) {
  fetch->earned += used;
  while (fetch->earned >= fetch->cost) {
    _mm_prefetch((const char *)*fetch->row + fetch->at, _MM_HINT_T0);
    fetch->earned -= fetch->cost;
    fetch->at += 64;
    if (fetch->at >= fetch->row_bytes) {
      fetch->at -= fetch->row_bytes;
      fetch->row++;
    }
  }
}

/* ---- Dot products ------------------------------------------------------- */

AVX2_INLINE __m256 sums_of_8(const __m256 a[8]) {
  __m256 low = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
  __m256 high = _mm256_hadd_ps(_mm256_hadd_ps(a[4], a[5]), _mm256_hadd_ps(a[6], a[7]));
  return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

/* Element part `part` of all rows with one slot of a block. */
AVX2_INLINE void dots_slot(const float *q, uint32_t head_dim, const void *k, uint32_t d, __m256 a[8], weir_type type,
                           const int slots, const int slot, const enum part part) {
  const float *at = q + (part == HIGH ? d + 8 : d);
  __m256 x = elements(type, k, d, part);
#define ROW(r)           \
  if ((r) * slots < 8) { \
    a[(r) * slots + slot] = _mm256_fmadd_ps(_mm256_loadu_ps(at + r * (size_t)head_dim), x, a[(r) * slots + slot]); \
  }
  ROW(0) ROW(1) ROW(2) ROW(3)
#undef ROW
}

/* 8 dot products: 8 / slots rows from r on with `slots` slots from j on. */
AVX2_INLINE void dots_block(const struct sdpa_rows *rows, uint32_t r, const void *const *k, uint32_t j,
                            struct fetch *fetch, weir_type type, const int slots) {
  const uint32_t head_dim = rows->head_dim;
  const float *q = rows->q + (size_t)r * head_dim;
  const __m256 zero = _mm256_setzero_ps();
  __m256 a[8] = {zero, zero, zero, zero, zero, zero, zero, zero};
  uint32_t d = 0;
  /* The orders keep the accumulators and what they need in 16 registers. */
#define BOTH(s)                                                           \
  if (s < slots) {                                                        \
    dots_slot(q, head_dim, k[j + s], d, a, type, slots, s % slots, LOW);  \
    dots_slot(q, head_dim, k[j + s], d, a, type, slots, s % slots, HIGH); \
  }
#define REST(s)                                                           \
  if (s < slots) {                                                        \
    dots_slot(q, head_dim, k[j + s], d, a, type, slots, s % slots, LAST); \
  }
  for (; d + 16 <= head_dim; d += 16) {
    fetch_step(fetch, slots * 16 * size_of(type));
    if (slots == 2) {
      dots_slot(q, head_dim, k[j], d, a, type, slots, 0, LOW);
      dots_slot(q, head_dim, k[j + 1], d, a, type, slots, 1, LOW);
      dots_slot(q, head_dim, k[j], d, a, type, slots, 0, HIGH);
      dots_slot(q, head_dim, k[j + 1], d, a, type, slots, 1, HIGH);
    } else {
      EIGHT(BOTH)
    }
  }
  if (d < head_dim) {
    EIGHT(REST)
  }
#undef BOTH
#undef REST
  __m256 all = sums_of_8(a);
  float *out = rows->weight + (size_t)r * rows->pitch + j;
  __m128 low = _mm256_castps256_ps128(all);
  __m128 high = _mm256_extractf128_ps(all, 1);
  if (slots == 8) {
    _mm256_storeu_ps(out, all);
  } else if (slots == 4) {
    _mm_storeu_ps(out, low);
    _mm_storeu_ps(out + rows->pitch, high);
  } else {
    _mm_storel_pi((__m64 *)(void *)out, low);
    _mm_storeh_pi((__m64 *)(void *)(out + rows->pitch), low);
    _mm_storel_pi((__m64 *)(void *)(out + 2 * (size_t)rows->pitch), high);
    _mm_storeh_pi((__m64 *)(void *)(out + 3 * (size_t)rows->pitch), high);
  }
}

AVX2_INLINE void dots(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n,
                      weir_type type) {
  const uint64_t *keep = rows->keep;
  const uint32_t groups = rows->count / 4 + rows->count % 4 / 2 + rows->count % 2;
  struct fetch fetch = fetch_start(ahead, rows->head_dim, type, groups);
  uint32_t r = 0;
  for (; r + 4 <= rows->count; r += 4) {
    uint64_t any = keep[r] | keep[r + 1] | keep[r + 2] | keep[r + 3];
    for (uint32_t j = 0; j < n; j += 2) {
      if (any >> j & 3) {
        dots_block(rows, r, k, j, &fetch, type, 2);
      }
    }
  }
  for (; r + 2 <= rows->count; r += 2) {
    uint64_t any = keep[r] | keep[r + 1];
    for (uint32_t j = 0; j < n; j += 4) {
      if (any >> j & 15) {
        dots_block(rows, r, k, j, &fetch, type, 4);
      }
    }
  }
  for (; r < rows->count; r++) {
    for (uint32_t j = 0; j < n; j += 8) {
      if (keep[r] >> j & 255) {
        dots_block(rows, r, k, j, &fetch, type, 8);
      }
    }
  }
}

/* ---- Values ------------------------------------------------------------- */

AVX2_INLINE void values_step(float *part_sum, uint32_t head_dim, const __m256 w[8], const void *const *v, uint32_t d,
                             weir_type type, const int row_count, const int slots, const enum part part) {
  float *first = part_sum + d;
  float *second = first + (row_count == 2 ? head_dim : 0);
  const int more = part == LOW ? 8 : 0;
  __m256 a = _mm256_loadu_ps(first), b = _mm256_loadu_ps(second);
  __m256 a2 = _mm256_loadu_ps(first + more), b2 = _mm256_loadu_ps(second + more);
#define SLOT(s)                                                    \
  if (s < slots) {                                                 \
    __m256 x = elements(type, v[s], d, part);                      \
    a = _mm256_fmadd_ps(w[s], x, a);                               \
    b = row_count == 2 ? _mm256_fmadd_ps(w[s + 4], x, b) : b;      \
    if (part == LOW) {                                             \
      __m256 y = elements(type, v[s], d, HIGH);                    \
      a2 = _mm256_fmadd_ps(w[s], y, a2);                           \
      b2 = row_count == 2 ? _mm256_fmadd_ps(w[s + 4], y, b2) : b2; \
    }                                                              \
  }
  SLOT(0) SLOT(1) SLOT(2) SLOT(3)
#undef SLOT
  _mm256_storeu_ps(first, a);
  if (row_count == 2) {
    _mm256_storeu_ps(second, b);
  }
  if (part == LOW) {
    _mm256_storeu_ps(first + 8, a2);
    if (row_count == 2) {
      _mm256_storeu_ps(second + 8, b2);
    }
  }
}

/* part += weight * v for 1 or 2 rows from r on and 1 or 4 slots from j on. */
AVX2_INLINE void values_block(const struct sdpa_rows *rows, uint32_t r, const void *const *v, uint32_t j,
                              struct fetch *fetch, weir_type type, const int row_count, const int slots) {
  const uint32_t head_dim = rows->head_dim;
  const float *weight = rows->weight + (size_t)r * rows->pitch + j;
  float *part = rows->part + (size_t)r * head_dim;
  __m256 w[8];
#define WEIGHT(i) \
  w[i] = i / 4 < row_count && i % 4 < slots ? _mm256_set1_ps(weight[i / 4 * rows->pitch + i % 4]) : _mm256_setzero_ps();
  EIGHT(WEIGHT)
#undef WEIGHT
  uint32_t d = 0;
  for (; d + 16 <= head_dim; d += 16) {
    if (fetch) {
      fetch_step(fetch, slots * 16 * size_of(type));
    }
    values_step(part, head_dim, w, v + j, d, type, row_count, slots, LOW);
  }
  if (d < head_dim) {
    values_step(part, head_dim, w, v + j, d, type, row_count, slots, LAST);
  }
}

/* One row and up to 4 slots, of which those in `bits` are attended. */
AVX2_INLINE void values_some(const struct sdpa_rows *rows, uint32_t r, const void *const *v, uint32_t j,
                             struct fetch *fetch, weir_type type, unsigned bits) {
  if (bits == 15) {
    values_block(rows, r, v, j, fetch, type, 1, 4);
    return;
  }
  for (uint32_t s = 0; s < 4; s++) {
    if (bits >> s & 1) {
      values_block(rows, r, v, j + s, NULL, type, 1, 1);
    }
  }
}

AVX2_INLINE void values_fold(const struct sdpa_rows *rows, uint32_t r) {
  const __m256 rescale = _mm256_set1_ps(rows->rescale[r]);
  float *sum = rows->sum + (size_t)r * rows->head_dim;
  float *part = rows->part + (size_t)r * rows->head_dim;
  for (uint32_t d = 0; d < rows->head_dim; d += 8) {
    _mm256_storeu_ps(sum + d, _mm256_fmadd_ps(_mm256_loadu_ps(sum + d), rescale, _mm256_loadu_ps(part + d)));
    _mm256_storeu_ps(part + d, _mm256_setzero_ps());
  }
}

AVX2_INLINE void values(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n,
                        weir_type type) {
  struct fetch fetch = fetch_start(ahead, rows->head_dim, type, (rows->count + 1) / 2);
  for (uint32_t r = 0; r < rows->count; r += 2) {
    uint64_t keep0 = rows->keep[r];
    uint64_t keep1 = r + 1 < rows->count ? rows->keep[r + 1] : 0;
    for (uint32_t j = 0; j < n; j += 4) {
      unsigned bits0 = keep0 >> j & 15, bits1 = keep1 >> j & 15;
      if ((bits0 & bits1) == 15) {
        values_block(rows, r, v, j, &fetch, type, 2, 4);
        continue;
      }
      values_some(rows, r, v, j, &fetch, type, bits0);
      values_some(rows, r + 1, v, j, NULL, type, bits1);
    }
    if (keep0) {
      values_fold(rows, r);
    }
    if (keep1) {
      values_fold(rows, r + 1);
    }
  }
}

AVX2 static void dots_f32(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n) {
  dots(rows, k, ahead, n, WEIR_F32);
}
AVX2 static void dots_f16(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n) {
  dots(rows, k, ahead, n, WEIR_F16);
}
AVX2 static void dots_bf16(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n) {
  dots(rows, k, ahead, n, WEIR_BF16);
}
AVX2 static void values_f32(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n) {
  values(rows, v, ahead, n, WEIR_F32);
}
AVX2 static void values_f16(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n) {
  values(rows, v, ahead, n, WEIR_F16);
}
AVX2 static void values_bf16(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n) {
  values(rows, v, ahead, n, WEIR_BF16);
}

static const struct sdpa_kernels kernels = {
    .name = "avx2",
    .score = 100,
    .load = load,
    .store = store,
    .mask = cpu_sdpa_avx2_mask,
    .dots = {[WEIR_F32] = dots_f32, [WEIR_F16] = dots_f16, [WEIR_BF16] = dots_bf16},
    .softmax = cpu_sdpa_avx2_softmax,
    .values = {[WEIR_F32] = values_f32, [WEIR_F16] = values_f16, [WEIR_BF16] = values_bf16},
};

const struct sdpa_kernels *const cpu_sdpa_avx2 = &kernels;

#else

const struct sdpa_kernels *const cpu_sdpa_avx2 = NULL;

#endif

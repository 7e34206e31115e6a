/* SPDX-License-Identifier: MIT */

/* The matvec kernels in plain C, for processors without kernels of their own. One
 * row of x at a time: a tile stays in the cache for the others of a pass. */
#include "matvec.h"

#include "number.h"

static const struct cpu_act_block *act_block(const uint8_t *act, size_t index) {
  return (const struct cpu_act_block *)(const void *)act + index;
}

static void dot4(const uint8_t *word, const int8_t *q, int32_t *sums) {
  for (int lane = 0; lane < CPU_TILE; lane++) {
    for (int j = 0; j < 4; j++) {
      int byte = word[lane * 4 + j];
      sums[lane] += (byte & 15) * q[j] + (byte >> 4) * q[4 + j];
    }
  }
}

static void dot8(const uint8_t *word, const int8_t *q, int32_t *sums) {
  for (int lane = 0; lane < CPU_TILE; lane++) {
    for (int j = 0; j < 4; j++) {
      sums[lane] += (int8_t)word[lane * 4 + j] * q[j];
    }
  }
}

static float zero_load(const struct cpu_layout *layout, const uint8_t *zeros, int lane) {
  switch (layout->zero_type) {
  case WEIR_NONE:
    return layout->bits == 4 ? 8.0f : 0.0f;
  case WEIR_U8:
    return zeros[lane];
  case WEIR_S8:
    return (int8_t)zeros[lane];
  default:
    return number_load(zeros, (size_t)lane, layout->zero_type);
  }
}

/* One group, or one half of a block where groups are 16: adds its share to sums. */
static void add_group(const struct cpu_layout *layout, const uint8_t *unit, int half, const uint8_t *act,
                      uint32_t first_block, float *sums) {
  const uint8_t *scales = unit + (size_t)half * layout->scale_bytes;
  const uint8_t *zeros = unit + (size_t)layout->halves * layout->scale_bytes + (size_t)half * layout->zero_bytes;
  const uint8_t *codes = unit + layout->header_bytes;
  int words = (layout->bits == 4 ? 4 : 8) / layout->halves;
  int word_k = layout->bits == 4 ? 8 : 4;
  float group[CPU_TILE] = {0}, zero[CPU_TILE] = {0};
  float group_sum = 0;
  for (int lane = 0; lane < CPU_TILE && !layout->min; lane++) {
    zero[lane] = zero_load(layout, zeros, lane);
  }
  for (uint32_t b = 0; b < layout->unit_blocks; b++, codes += layout->block_bytes) {
    const struct cpu_act_block *x = act_block(act, first_block + b);
    float sum = layout->halves == 2 ? x->half_sum[half] : x->sum;
    int32_t dots[CPU_TILE] = {0};
    for (int w = half * words; w < (half + 1) * words; w++) {
      if (layout->bits == 4) {
        dot4(codes + w * CPU_WORD, x->q + w * word_k, dots);
      } else {
        dot8(codes + w * CPU_WORD, x->q + w * word_k, dots);
      }
    }
    for (int lane = 0; lane < CPU_TILE; lane++) {
      group[lane] += x->d * ((float)dots[lane] - zero[lane] * sum);
    }
    group_sum += x->d * sum;
  }
  for (int lane = 0; lane < CPU_TILE; lane++) {
    sums[lane] += number_load(scales, (size_t)lane, layout->scale_type) * group[lane];
    if (layout->min) {
      sums[lane] += number_load(zeros, (size_t)lane, layout->zero_type) * group_sum;
    }
  }
}

/* Not inlined: compiled once, so that it gives the same bits in every pass. */
__attribute__((noinline)) static void one_row(const struct cpu_layout *layout, const uint8_t *tile, const uint8_t *act,
                                              float *out_sums) {
  memset(out_sums, 0, CPU_TILE * sizeof *out_sums);
  for (uint32_t u = 0; u < layout->units; u++, tile += layout->unit_bytes) {
    for (int half = 0; half < layout->halves; half++) {
      add_group(layout, tile, half, act, u * layout->unit_blocks, out_sums);
    }
  }
}

#define ROWS(count)                                                                                             \
  static void rows_##count(const struct cpu_layout *layout, const struct cpu_walk *walk, float *out_sums) {     \
    for (size_t s = 0; s < (size_t)walk->streams; s++) {                                                        \
      for (size_t r = 0; r < count; r++, out_sums += CPU_TILE) {                                                \
        one_row(layout, walk->tile + s * layout->tile_bytes, walk->act + r * walk->act_stride, out_sums);       \
      }                                                                                                         \
    }                                                                                                           \
  }
ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8)

#define ALL_ROWS {rows_1, rows_2, rows_3, rows_4, rows_5, rows_6, rows_7, rows_8}

const struct cpu_matvec_isa cpu_matvec_portable = {
  .name = "portable",
  .score = 50,
  .int4 = {ALL_ROWS, ALL_ROWS},
  .int8 = {ALL_ROWS, ALL_ROWS},
};

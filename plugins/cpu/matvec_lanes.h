/* SPDX-License-Identifier: MIT */

/* The matvec kernel, once for every instruction set. matvec.h draws the tiles that are
 * read here. The including file defines
 *   ISA           the function attribute that switches the instruction set on
 *   LANES         8 or 16, the 32-bit lanes of a vector
 *   vint, vfloat  the vectors
 * and the functions used below.
 *
 *               row 0       row 1             row 7
 *   codes     | b b b b  |  b b b b  | ... |  b b b b  |   one load, two for 16 rows
 *                * +         * +              * +
 *   x         | q q q q  |  q q q q  | ... |  q q q q  |   one broadcast
 *                 =           =                =
 *   dot       |   sum    |    sum    | ... |    sum    |   stays here for 32 k
 *
 * Decoding one row of x is bound by the memory that weights are read from, so what
 * counts is to read nothing else, in order, and to be done before the next line is
 * there. A zero of 8 is no data: sums of x, made once when x is quantised, take it out.
 * A thread walks through one contiguous piece, and asks for lines PREFETCH bytes ahead.
 *
 * Measured on a virtual machine with two Zen 3 cores that had other work too: AVX2, two
 * threads, groups of 32 with bf16 scales, 256 MiB of weights in huge pages read in turn,
 * some rows a call, the best of 800 calls of 0.07 to 0.5 ms. A loop that only reads the
 * same bytes, run in between, had 30 to 33 GB/s; the median ratio was 0.99 to 1.09.
 *             k = 21504      k = 5376      k = 4096
 *   int4      37.1 GB/s      37.1 GB/s     36.3 GB/s      1024 bytes ahead: 33, 512: 29
 *   int8      37.7 GB/s      38.0 GB/s     35.4 GB/s      1024 bytes ahead: 36, 512: 32
 * From the second-level cache one core reaches 32 GB/s for int4 and 50 for int8 with one
 * row of x, and multiplies 44 to 80 G weights a second with up to eight. */
#ifndef WEIR_CPU_MATVEC_LANES_H
#define WEIR_CPU_MATVEC_LANES_H

#include "matvec.h"

enum {
  PARTS = CPU_TILE / LANES, /* vectors that hold one number for each row of the tile */
  PREFETCH = 2048           /* bytes */
};

#if defined(__clang__)
#define UNROLLED _Pragma("unroll") for
#else
#define UNROLLED _Pragma("GCC unroll 16") for
#endif

/* Keeps the compiler from reordering integer sums into trees, which take more registers than there are. */
#define PINNED(sum) __asm__("" : "+x"(sum))

/* Numbers that a unit keeps for its rows, as f32, for `count` parts from first_part on. */
INLINE void load_numbers(const uint8_t *at, weir_type type, int first_part, const int count, vfloat *out) {
  switch (type) {
  case WEIR_F32:
    UNROLLED(int p = 0; p < count; p++) {
      out[p] = float_from_f32(at + (first_part + p) * LANES * 4);
    }
    break;
  case WEIR_F16:
    UNROLLED(int p = 0; p < count; p++) {
      out[p] = float_from_f16(at + (first_part + p) * LANES * 2);
    }
    break;
  case WEIR_BF16:
    UNROLLED(int p = 0; p < count; p++) {
      out[p] = float_from_bf16(at + (first_part + p) * LANES * 2);
    }
    break;
  case WEIR_U8:
    UNROLLED(int p = 0; p < count; p++) {
      out[p] = float_from_u8(at + (first_part + p) * LANES);
    }
    break;
  default:
    UNROLLED(int p = 0; p < count; p++) {
      out[p] = float_from_s8(at + (first_part + p) * LANES);
    }
    break;
  }
}

/* A block, or the half of it that a group of 16 has, and what belongs to it. */
struct place {
  const uint8_t *scales, *zeros, *codes; /* of the tile */
  const uint8_t *act;                    /* the struct cpu_act_block of the first row of x */
  size_t act_stride;                     /* from row to row of x */
  size_t q_at, sum_at;                   /* in struct cpu_act_block */
};

/* Adds a block to the totals, for `joint` parts of the tile from first_part on. For
 * each row of the tile and each row of x, in this order and no other:
 *   t     = dot(codes, q) - zero * sum(q)         in integers, then one fma, mostly exact
 *   total = total + scale * (d * t)
 *   total = total + min * (d * sum(q))            with WEIR_FORM_MIN, where zero is 0
 * d times an integer cannot underflow inexactly; that is why the scale comes last. A
 * product that something is added to is always spelled as fma. So the compiler has
 * nothing left to contract, and a row has the same bits in every pass. */
INLINE void add_block(const struct cpu_layout *layout, const struct place *at, int first_part, const int joint,
                      const int rows, const int bits, const int words, vfloat total[][PARTS]) {
  vint dot[CPU_PASS][PARTS];
  UNROLLED(int m = 0; m < rows; m++) {
    UNROLLED(int p = 0; p < joint; p++) {
      dot[m][p] = int_zero();
    }
  }
  UNROLLED(int w = 0; w < words; w++) {
    UNROLLED(int p = 0; p < joint; p++) {
      vint codes = int_load(at->codes + w * CPU_WORD + (first_part + p) * LANES * 4);
      vint low = bits == 4 ? low_nibbles(codes) : unsigned_part(codes);
      vint high = high_nibbles(codes);
      UNROLLED(int m = 0; m < rows; m++) {
        const uint8_t *q = at->act + (size_t)m * at->act_stride + at->q_at + w * (bits == 4 ? 8 : 4);
        if (bits == 4) {
          dot[m][p] = add_dot4(dot[m][p], low, int_broadcast(q));
          dot[m][p] = add_dot4(dot[m][p], high, int_broadcast(q + 4));
        } else {
          dot[m][p] = add_dot8(dot[m][p], low, codes, int_broadcast(q));
        }
        PINNED(dot[m][p]);
      }
    }
  }
  vfloat scale[PARTS], zero[PARTS];
  load_numbers(at->scales, layout->scale_type, first_part, joint, scale);
  if (layout->zero_type == WEIR_NONE || layout->min) {
    UNROLLED(int p = 0; p < joint; p++) {
      zero[p] = float_set(bits == 4 && !layout->min ? 8.0f : 0.0f);
    }
  } else {
    load_numbers(at->zeros, layout->zero_type, first_part, joint, zero);
  }
  UNROLLED(int m = 0; m < rows; m++) {
    const uint8_t *row = at->act + (size_t)m * at->act_stride;
    vfloat d = float_broadcast(row + offsetof(struct cpu_act_block, d));
    vfloat sum = float_broadcast(row + at->sum_at);
    UNROLLED(int p = 0; p < joint; p++) {
      vfloat t = bits == 4 ? finish_dot4(dot[m][p]) : finish_dot8(dot[m][p], sum);
      t = float_multiply(d, float_minus_product(t, zero[p], sum));
      total[m][first_part + p] = float_fma(scale[p], t, total[m][first_part + p]);
    }
  }
  if (layout->min) {
    load_numbers(at->zeros, layout->zero_type, first_part, joint, zero);
    UNROLLED(int m = 0; m < rows; m++) {
      const uint8_t *row = at->act + (size_t)m * at->act_stride;
      vfloat d = float_broadcast(row + offsetof(struct cpu_act_block, d));
      vfloat d_sum = float_multiply(d, float_broadcast(row + at->sum_at));
      UNROLLED(int p = 0; p < joint; p++) {
        total[m][first_part + p] = float_fma(zero[p], d_sum, total[m][first_part + p]);
      }
    }
  }
}

/* `rows`, `bits` and `halves` are constants wherever this is inlined. With one or two
 * rows the parts of the tile share the broadcasts of x; with more they are done one
 * after the other, so that the sums of all rows stay in registers. */
INLINE void tile_rows(const struct cpu_layout *layout, const uint8_t *tile, const uint8_t *act, size_t act_stride,
                      float *out_sums, const int rows, const int bits, const int halves) {
  const int joint = rows <= 2 ? PARTS : 1;
  const int words = (bits == 4 ? 4 : 8) / halves;
  const uint32_t unit_blocks = halves == 2 ? 1 : layout->unit_blocks;
  struct place at = {.act = act, .act_stride = act_stride, .sum_at = offsetof(struct cpu_act_block, sum)};
  vfloat total[CPU_PASS][PARTS];
  UNROLLED(int m = 0; m < rows; m++) {
    UNROLLED(int p = 0; p < PARTS; p++) {
      total[m][p] = float_set(0.0f);
    }
  }
  for (uint32_t u = 0; u < layout->units; u++) {
    prefetch(tile + PREFETCH);
    at.scales = tile;
    at.zeros = tile + (size_t)halves * layout->scale_bytes;
    at.codes = tile + layout->header_bytes;
    for (uint32_t b = 0; b < unit_blocks; b++) {
      for (int half = 0; half < halves; half++) {
        UNROLLED(int w = 0; w < words; w++) {
          prefetch(at.codes + PREFETCH + w * CPU_WORD);
        }
        if (halves == 2) {
          at.q_at = (size_t)half * (CPU_BLOCK / 2);
          at.sum_at = offsetof(struct cpu_act_block, half_sum) + (size_t)half * sizeof(float);
        }
        if (joint == PARTS) {
          add_block(layout, &at, 0, PARTS, rows, bits, words, total);
        } else {
          for (int p = 0; p < PARTS; p++) {
            add_block(layout, &at, p, 1, rows, bits, words, total);
          }
        }
        at.codes += words * CPU_WORD;
        if (halves == 2) {
          at.scales += layout->scale_bytes;
          at.zeros += layout->zero_bytes;
        }
      }
      at.act += sizeof(struct cpu_act_block);
    }
    tile += layout->unit_bytes;
  }
  UNROLLED(int m = 0; m < rows; m++) {
    UNROLLED(int p = 0; p < PARTS; p++) {
      float_store(out_sums + m * CPU_TILE + p * LANES, total[m][p]);
    }
  }
}

#define ROWS(count, bits, halves)                                                                               \
  ISA static void int##bits##_halves##halves##_rows##count(const struct cpu_layout *layout, const uint8_t *tile, \
                                                           const uint8_t *act, size_t act_stride,               \
                                                           float *out_sums) {                                   \
    tile_rows(layout, tile, act, act_stride, out_sums, count, bits, halves);                                    \
  }
#define ALL_ROWS(bits, halves)                                                                                  \
  ROWS(1, bits, halves) ROWS(2, bits, halves) ROWS(3, bits, halves) ROWS(4, bits, halves)                       \
  ROWS(5, bits, halves) ROWS(6, bits, halves) ROWS(7, bits, halves) ROWS(8, bits, halves)
ALL_ROWS(4, 1)
ALL_ROWS(4, 2)
ALL_ROWS(8, 1)
ALL_ROWS(8, 2)

#define TABLE(name) {name##1, name##2, name##3, name##4, name##5, name##6, name##7, name##8}
#define INT4_TABLE {TABLE(int4_halves1_rows), TABLE(int4_halves2_rows)}
#define INT8_TABLE {TABLE(int8_halves1_rows), TABLE(int8_halves2_rows)}

#endif

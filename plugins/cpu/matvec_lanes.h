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
 * counts is to read nothing else, and to have many lines under way. A zero of 8 is no
 * data: sums of x, made once when x is quantised, take it out. One stream of loads a
 * thread, with or without prefetch instructions, leaves bandwidth unused; four streams,
 * line by line in turn, get more, and prefetch instructions then add nothing. So with
 * one row of x four tiles are read at a time. They are neighbours: four long pieces of
 * 2032128 bytes each, one a stream, were slower than that.
 *
 * Measured on 2 vCPU AMD EPYC Milan, the memory being shared with others: AVX2, two
 * threads at real-time priority, groups of 32 with f16 scales, x of f32 quantised in the
 * time, 104 to 130 MB of weights in huge pages read in turn; medians, in GB/s. "one" and
 * "four" are loops that only read the same pages, in so many streams a thread. ggml
 * 0.25.3 has Q4_0 (repacked, which is its faster way) or Q8_0 with the same weights, in
 * huge pages too. Ratios are medians over batches that follow each other at once.
 *                       one   four   weir   weir : four   ggml's time : weir's
 *   int4  4096 x 4096    26     33     29       0.91          1.45
 *         5376 x 21504   28     34     31       0.88          1.57
 *         21504 x 5376   29     39     32       0.84          1.61
 *   int8  4096 x 4096    29     37     32       0.85          1.52
 *         5376 x 21504   30     45     38       0.86          1.72
 *         21504 x 5376   30     43     36       0.88          1.66
 * In another run weir : four was 0.74 to 0.90, and the last column 1.38 to 1.77. The same
 * kernel with one stream and lines asked for 2048 bytes ahead was as fast as "one". */
#ifndef WEIR_CPU_MATVEC_LANES_H
#define WEIR_CPU_MATVEC_LANES_H

#include "matvec.h"

enum {
  PARTS = CPU_TILE / LANES, /* vectors that hold one number for each row of the tile */
  PREFETCH = 1024           /* bytes */
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
  const uint8_t *scales, *zeros, *codes; /* of the first tile; the next one is layout->tile_bytes on */
  const uint8_t *act;                    /* the struct cpu_act_block of the first row of x */
  size_t act_stride;                     /* from row to row of x */
  size_t q_at, sum_at;                   /* in struct cpu_act_block */
};

/* One dot product of the block: 32 k, or 16 of them. */
INLINE void add_words(const struct cpu_layout *layout, const struct place *at, int first_part, const int joint,
                      const int rows, const int bits, const int words, const int streams,
                      vint dot[][CPU_PASS][PARTS]) {
  UNROLLED(int w = 0; w < words; w++) {
    UNROLLED(int s = 0; s < streams; s++) {
      UNROLLED(int p = 0; p < joint; p++) {
        const uint8_t *word = at->codes + (size_t)s * layout->tile_bytes + w * CPU_WORD;
        vint codes = int_load(word + (first_part + p) * LANES * 4);
        vint low = bits == 4 ? low_nibbles(codes) : unsigned_part(codes);
        vint high = high_nibbles(codes);
        UNROLLED(int m = 0; m < rows; m++) {
          const uint8_t *q = at->act + (size_t)m * at->act_stride + at->q_at + w * (bits == 4 ? 8 : 4);
          if (bits == 4) {
            dot[s][m][p] = add_dot4(dot[s][m][p], low, int_broadcast(q));
            dot[s][m][p] = add_dot4(dot[s][m][p], high, int_broadcast(q + 4));
          } else {
            dot[s][m][p] = add_dot8(dot[s][m][p], low, codes, int_broadcast(q));
          }
          PINNED(dot[s][m][p]);
        }
      }
    }
  }
}

/* Adds a block of `streams` tiles to their totals, for `joint` parts of each from
 * first_part on. For each row of the tile and each row of x, in this order and no other:
 *   t     = dot(codes, q) - zero * sum(q)         in integers, then one fma, mostly exact
 *   total = total + scale * (d * t)
 *   total = total + min * (d * sum(q))            with WEIR_FORM_MIN, where zero is 0
 * d times an integer cannot underflow inexactly; that is why the scale comes last. A
 * product that something is added to is always spelled as fma. So the compiler has
 * nothing left to contract, and a row has the same bits in every pass. */
INLINE void add_block(const struct cpu_layout *layout, const struct place *at, int first_part, const int joint,
                      const int rows, const int bits, const int words, const int streams,
                      vfloat total[][CPU_PASS][PARTS]) {
  vint dot[CPU_STREAMS][CPU_PASS][PARTS];
  UNROLLED(int s = 0; s < streams; s++) {
    UNROLLED(int m = 0; m < rows; m++) {
      UNROLLED(int p = 0; p < joint; p++) {
        dot[s][m][p] = int_zero();
      }
    }
  }
  add_words(layout, at, first_part, joint, rows, bits, words, streams, dot);
  UNROLLED(int s = 0; s < streams; s++) {
    const uint8_t *zeros = at->zeros + (size_t)s * layout->tile_bytes;
    vfloat scale[PARTS], zero[PARTS];
    load_numbers(at->scales + (size_t)s * layout->tile_bytes, layout->scale_type, first_part, joint, scale);
    if (layout->zero_type == WEIR_NONE || layout->min) {
      UNROLLED(int p = 0; p < joint; p++) {
        zero[p] = float_set(bits == 4 && !layout->min ? 8.0f : 0.0f);
      }
    } else {
      load_numbers(zeros, layout->zero_type, first_part, joint, zero);
    }
    UNROLLED(int m = 0; m < rows; m++) {
      const uint8_t *row = at->act + (size_t)m * at->act_stride;
      vfloat d = float_broadcast(row + offsetof(struct cpu_act_block, d));
      vfloat sum = float_broadcast(row + at->sum_at);
      UNROLLED(int p = 0; p < joint; p++) {
        vfloat t = bits == 4 ? finish_dot4(dot[s][m][p]) : finish_dot8(dot[s][m][p], sum);
        t = float_multiply(d, float_minus_product(t, zero[p], sum));
        total[s][m][first_part + p] = float_fma(scale[p], t, total[s][m][first_part + p]);
      }
    }
    if (layout->min) {
      load_numbers(zeros, layout->zero_type, first_part, joint, zero);
      UNROLLED(int m = 0; m < rows; m++) {
        const uint8_t *row = at->act + (size_t)m * at->act_stride;
        vfloat d = float_broadcast(row + offsetof(struct cpu_act_block, d));
        vfloat d_sum = float_multiply(d, float_broadcast(row + at->sum_at));
        UNROLLED(int p = 0; p < joint; p++) {
          total[s][m][first_part + p] = float_fma(zero[p], d_sum, total[s][m][first_part + p]);
        }
      }
    }
  }
}

/* As add_block, tile after tile, so that the sums of several rows stay in registers.
 * With one or two rows the parts of the tile share the broadcasts of x. */
INLINE void add_block_apart(const struct cpu_layout *layout, const struct place *first, const int rows, const int bits,
                            const int words, int streams, vfloat total[][CPU_PASS][PARTS]) {
  const int joint = rows <= 2 ? PARTS : 1;
  struct place at = *first;
  for (int s = 0; s < streams; s++) {
    prefetch(at.scales + PREFETCH);
    UNROLLED(int w = 0; w < words; w++) {
      prefetch(at.codes + PREFETCH + w * CPU_WORD);
    }
    for (int p = 0; p < PARTS; p += joint) {
      add_block(layout, &at, p, joint, rows, bits, words, 1, total + s);
    }
    at.scales += layout->tile_bytes;
    at.zeros += layout->tile_bytes;
    at.codes += layout->tile_bytes;
  }
}

/* `rows`, `bits` and `halves` are constants wherever this is inlined. */
INLINE void walk_rows(const struct cpu_layout *layout, const struct cpu_walk *walk, float *out_sums, const int rows,
                      const int bits, const int halves) {
  const int words = (bits == 4 ? 4 : 8) / halves;
  const uint32_t unit_blocks = halves == 2 ? 1 : layout->unit_blocks;
  const int streams = walk->streams;
  struct place at = {
    .act = walk->act, .act_stride = walk->act_stride, .sum_at = offsetof(struct cpu_act_block, sum)};
  vfloat total[CPU_STREAMS][CPU_PASS][PARTS];
  for (int s = 0; s < streams; s++) {
    UNROLLED(int m = 0; m < rows; m++) {
      UNROLLED(int p = 0; p < PARTS; p++) {
        total[s][m][p] = float_set(0.0f);
      }
    }
  }
  const uint8_t *unit = walk->tile;
  for (uint32_t u = 0; u < layout->units; u++, unit += layout->unit_bytes) {
    at.codes = unit + layout->header_bytes;
    for (uint32_t b = 0; b < unit_blocks; b++) {
      for (int half = 0; half < halves; half++) {
        at.scales = unit + (size_t)half * layout->scale_bytes;
        at.zeros = unit + (size_t)halves * layout->scale_bytes + (size_t)half * layout->zero_bytes;
        if (halves == 2) {
          at.q_at = (size_t)half * (CPU_BLOCK / 2);
          at.sum_at = offsetof(struct cpu_act_block, half_sum) + (size_t)half * sizeof(float);
        }
        if (rows == 1 && streams == CPU_STREAMS) {
          add_block(layout, &at, 0, PARTS, rows, bits, words, CPU_STREAMS, total);
        } else {
          add_block_apart(layout, &at, rows, bits, words, streams, total);
        }
        at.codes += words * CPU_WORD;
      }
      at.act += sizeof(struct cpu_act_block);
    }
  }
  for (int s = 0; s < streams; s++) {
    UNROLLED(int m = 0; m < rows; m++) {
      UNROLLED(int p = 0; p < PARTS; p++) {
        float_store(out_sums + (s * rows + m) * CPU_TILE + p * LANES, total[s][m][p]);
      }
    }
  }
}

#define ROWS(count, bits, halves)                                                                               \
  ISA static void int##bits##_halves##halves##_rows##count(const struct cpu_layout *layout,                     \
                                                           const struct cpu_walk *walk, float *out_sums) {      \
    walk_rows(layout, walk, out_sums, count, bits, halves);                                                     \
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

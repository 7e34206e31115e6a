/* SPDX-License-Identifier: MIT */

/* What the files of the quantised matvec share: the two private formats, packed
 * weights and act, and the plan.
 *
 * Packed weights. One format for every instruction set. Sixteen rows make a
 * tile; a tile is one contiguous piece of memory that one thread reads from
 * front to back, four of them side by side.
 *
 *   packed  = tile 0 | tile 1 | ...                       16 rows x all of k each
 *   tile    = unit 0 | unit 1 | ...                       16 rows x one group each
 *   unit    = scales | zeros | block 0 | block 1 | ...    16 rows x 32 k a block
 *   block   = word 0 | word 1 | ...                       64 bytes a word
 *
 *             row 0     row 1           row 15
 *   word    | b b b b | b b b b | ... | b b b b |         one 32-bit lane a row
 *
 *   int4: 4 words a block; byte j of word w holds k = 8w + j in its low nibble
 *         and k = 8w + 4 + j in its high one.
 *   int8: 8 words a block; byte j of word w holds k = 4w + j.
 *
 * So one broadcast of four activations meets four weights of every row, sums
 * stay in the lane of their row, and no sum ever crosses lanes. Scales and zeros
 * keep their types and are 16 to a unit, in the order of the rows.
 *
 * Groups of 16 put two groups, hence two rows of scales and two of zeros, over
 * one block. A group that is no multiple of 32 ends in a block padded with codes
 * of 0, which meet activations of 0. Rows past n are 0 throughout. */
#ifndef WEIR_CPU_MATVEC_H
#define WEIR_CPU_MATVEC_H

#include "cpu.h"

enum {
  CPU_TILE = 16,     /* rows a tile */
  CPU_BLOCK = 32,    /* k a block */
  CPU_WORD = 64,     /* bytes of a word: 4 for each row of the tile */
  CPU_PASS = 8,      /* rows of x for which one walk through a tile serves */
  CPU_STREAMS = 4,   /* tiles that a thread reads at a time */
  CPU_ALIGN = 64
};

/* act: for each row of x, one of these for each 32 k; a short last block is filled
 * up with 0. When x holds a NaN or an Inf, d is NaN. The sums, of q as it is, are
 * what a zero point is multiplied with. |q| is at most 127. */
struct cpu_act_block {
  int8_t q[CPU_BLOCK];
  float d;
  float sum;
  float half_sum[2];
};

struct cpu_layout {
  uint32_t n, k, group;
  int bits;                 /* 4 or 8 */
  int halves;               /* groups over one block: 2 for groups of 16, else 1 */
  int min;                  /* WEIR_FORM_MIN */
  weir_type scale_type, zero_type;
  size_t scale_bytes;       /* of 16 scales */
  size_t zero_bytes;        /* of 16 zeros */
  size_t header_bytes;      /* of a unit: all its scales and zeros */
  size_t block_bytes, unit_bytes, tile_bytes;
  uint32_t unit_blocks;     /* blocks a unit */
  uint32_t units, tiles;    /* units a tile; tiles */
};

struct cpu_walk {
  const uint8_t *tile;  /* the first of `streams` consecutive tiles */
  int streams;          /* 1 to CPU_STREAMS */
  const uint8_t *act;   /* the first of some rows of act */
  size_t act_stride;    /* bytes from one to the next */
};

/* Multiplies each tile with each row of act, and writes 16 results for each pair, the
 * rows of the first tile before those of the second. How many rows of act there are is
 * the kernel's place in the table. */
typedef void (*cpu_matvec_kernel)(const struct cpu_layout *layout, const struct cpu_walk *walk, float *out_sums);

struct cpu_matvec_isa {
  const char *name;
  uint32_t features; /* of WEIR_CPU_*, all needed */
  int32_t score;
  cpu_matvec_kernel int4[2][CPU_PASS]; /* [halves - 1][rows - 1] */
  cpu_matvec_kernel int8[2][CPU_PASS];
};

extern const struct cpu_matvec_isa cpu_matvec_portable;
#if defined(__x86_64__)
extern const struct cpu_matvec_isa cpu_matvec_avx2;
extern const struct cpu_matvec_isa cpu_matvec_avx_vnni;
extern const struct cpu_matvec_isa cpu_matvec_avx512_vnni;
#endif

/* Quantises x[0..count) of one row into ceil(count/32) blocks. */
typedef void (*cpu_quantize_kernel)(const void *x, weir_type type, size_t count, struct cpu_act_block *out_blocks);

void cpu_quantize_portable(const void *x, weir_type type, size_t count, struct cpu_act_block *out_blocks);
#if defined(__x86_64__)
void cpu_quantize_avx2(const void *x, weir_type type, size_t count, struct cpu_act_block *out_blocks);
#endif

void cpu_layout_make(const weir_matvec_desc *desc, struct cpu_layout *out_layout);
void cpu_layout_pack(const struct cpu_layout *layout, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                     uint8_t *out_packed);

#endif

/* SPDX-License-Identifier: MIT */

/* What a launch hands to a kernel of matvec.cuh. C and C++: the plugins that launch
 * them fill the same struct in. */
#ifndef WEIR_MATVEC_ARGS_H
#define WEIR_MATVEC_ARGS_H

#include <stdint.h>

enum scale_format {
  SCALE_HALF = 0,      /* 2 bytes: scale; the zero is the type's constant */
  SCALE_FLOAT = 1,     /* 4 bytes */
  SCALE_HALF_ZERO = 2, /* 2 + 2 bytes: scale, zero */
  SCALE_FLOAT_ZERO = 3, /* 4 + 4 bytes */
  SCALE_HALF_BYTE = 4   /* 2 + 1 bytes: scale, and an integer zero; S8 with its sign bit turned over */
};

struct matvec_args {
  const uint8_t *packed;
  uint64_t scales_at; /* bytes from packed to the scales */
  const uint8_t *act; /* or, of the kernels that begin with x, x */
  const void *bias;
  void *y;
  uint32_t n, kpad, m;
  uint32_t groups;      /* records of scales per tile row: kpad/64 up to group 64, else groups of kpad */
  uint32_t group_shift; /* 64s per group as a shift: 0 up to group 64, 31 for one group */
  uint32_t format;      /* scale_format */
  uint32_t scale_type, zero_type; /* F16 or BF16 of the half formats; U8 or S8 of SCALE_HALF_BYTE */
  uint32_t form;                  /* 0: scale * (code - zero); 1: scale * code + zero */
  uint32_t y_type, bias_type;
  uint32_t staged; /* bytes of act that the block stages in dynamic shared memory, or 0 */
  uint32_t k, x_type; /* of x */
};

/* int4 at M = 1 is short of bytes in flight, so it gets more and leaner warps: 24 on a
 * multiprocessor with 80 registers. Everything else wants its registers. */
enum { TILE_ROWS = 16, MATVEC_THREADS = 256, MATVEC_THREADS_LEAN = 384 };

#endif

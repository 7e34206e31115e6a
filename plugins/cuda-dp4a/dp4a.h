/* SPDX-License-Identifier: MIT */

/* What the files of cuda-dp4a share.
 *
 * Two plugins are made of them. cuda-dp4a uses the kernels whose activations are
 * loaded 16 bytes at a time; with WEIR_DP4A_SCALAR it is cuda-dp4a-scalar, whose
 * kernels load 4. Nothing else differs: packed weights, arithmetic and the number of
 * warps are the same, so that results are, bit for bit. */
#ifndef CUDA_DP4A_H
#define CUDA_DP4A_H

#include <weir/plugin.h>

#include "matvec_args.h"

#ifdef WEIR_DP4A_SCALAR
#define DP4A_LOADS "scalar"
#else
#define DP4A_LOADS "vector"
#endif

enum {
  DP4A_STEP = 256, /* k that a warp takes at a time; rows are padded to it */
  DP4A_PASS = 8,   /* most rows of x in one launch */
  DP4A_WARPS = MATVEC_THREADS / 32,
  DP4A_WARPS_LEAN = MATVEC_THREADS_LEAN / 32
};

/* Packed weights; drawn in ptx/matvec.cuh. */
struct dp4a_layout {
  weir_matvec_desc desc;
  int bits;             /* 4 or 8 */
  uint32_t kpad;        /* k rounded up to a step */
  uint32_t tiles, steps;
  uint32_t per64;       /* scales of 64 k: 4, 2 or 1 */
  uint32_t groups;      /* records of scales of a row: its groups of kpad, or 64s when groups are smaller */
  uint32_t group_shift; /* 64s of a group as a shift; 31 when a row is one group */
  enum scale_format format;
  uint32_t value_bytes; /* of a scale: 2 or 4 */
  uint32_t zero_bytes;  /* of a zero: 0, 1, 2 or 4 */
  uint64_t scales_at, size;
};

void dp4a_layout_make(const weir_matvec_desc *desc, struct dp4a_layout *out_layout);
/* Types as the kernels find them in the packed weights. */
weir_type dp4a_packed_scale_type(const struct dp4a_layout *layout);
weir_type dp4a_packed_zero_type(const struct dp4a_layout *layout);
void dp4a_pack(const struct dp4a_layout *layout, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
               uint8_t *out_packed);

/* How many warps of a block share a tile; see warps.c. `resident` is how many of the
 * kernel's warps a multiprocessor holds, `most` how many a block may have. */
uint32_t dp4a_warps(uint32_t sm_count, uint32_t tiles, uint32_t steps, uint32_t resident, uint32_t most);

/* How many blocks of so many warps the device runs at once; 0 where sm_count is. */
uint32_t dp4a_places(uint32_t sm_count, uint32_t resident, uint32_t warps);

extern const weir_matvec_vtable dp4a_matvec_vtable;

#endif

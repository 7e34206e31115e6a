/* SPDX-License-Identifier: MIT */

/* What a launch hands to the kernels of sdpa.cuh. C and C++: the plugins that launch them
 * fill the same struct in. Strides are in elements; of a dimension of size 1 they are 0. */
#ifndef WEIR_SDPA_ARGS_H
#define WEIR_SDPA_ARGS_H

#include "tensor_map.h"

enum {
  SDPA_IS_CAUSAL = 1,
  SDPA_Q_BY_16 = 2,  /* every row of q starts at a multiple of 16 bytes */
  SDPA_KV_BY_16 = 4, /* of k, and of v */
  SDPA_O_BY_8 = 8,   /* of o, at a multiple of 8 */
  SDPA_KV_MAPS = 16  /* k_map and v_map are filled in */
};

/* Shared memory of sdpa_tile.cuh, in bytes: rows of Q and of weights, and what warps tell
 * each other, then from a multiple of 1024 on buffers of a tile of K or V each, where at
 * last the sums lie. `dim` is 64, 128, 256 or 512. */
#define SDPA_TILE_SLOTS(dim) ((dim) <= 128 ? 128 : 16384 / (dim)) /* 32 KiB, but at most 128 slots */
#define SDPA_TILE_PITCH(dim) (2 * (dim) + 16)
#define SDPA_TILE_WEIGHTS_PITCH(dim) (2 * SDPA_TILE_SLOTS(dim) + 16)
#define SDPA_TILE_TOLD(rows) (2 * 4 * 8 * 16 + 4 * (rows) + (rows) + 2048 + 64)
#define SDPA_TILE_FIXED(dim, rows) \
  (((rows) * (SDPA_TILE_PITCH(dim) + SDPA_TILE_WEIGHTS_PITCH(dim)) + SDPA_TILE_TOLD(rows) + 1023) / 1024 * 1024)
#define SDPA_TILE_BUFFER(dim) (SDPA_TILE_SLOTS(dim) * 2 * (dim))
#define SDPA_TILE_SUMS_PITCH(dim) (4 * (dim) + 16)
#define SDPA_TILE_SHARED(dim, rows, buffers)                                                         \
  (SDPA_TILE_FIXED(dim, rows) + ((buffers) * SDPA_TILE_BUFFER(dim) > (rows) * SDPA_TILE_SUMS_PITCH(dim) \
                                   ? (buffers) * SDPA_TILE_BUFFER(dim)                               \
                                   : (rows) * SDPA_TILE_SUMS_PITCH(dim)))
/* More than 3 make reading slower (H100: 3 are 1 to 5 % faster than 6): fewer requests at
 * a time are nearer to each other in memory. */
enum { SDPA_BUFFERS_LEAST = 2, SDPA_BUFFERS_MOST = 3 };

/* Rows of a tile for long calls: the sums of 64 rows of 512 would not fit into registers. */
#define SDPA_ROWS_MANY(dim) ((dim) == 512 ? 32 : 64)

/* Warps of a block that compute, and that copy K and V besides. */
enum { SDPA_WARPS = 8, SDPA_COPIERS = 4, SDPA_TILE_THREADS = 32 * (SDPA_WARPS + SDPA_COPIERS) };

/* sdpa_prefill.cuh: rows of a tile, and its shared memory: Q, a tile of K, one of V, totals. */
enum { SDPA_PREFILL_SLOTS = 64, SDPA_PREFILL_WARPS = 4, SDPA_PREFILL_THREADS = 32 * SDPA_PREFILL_WARPS };
#define SDPA_PREFILL_ROWS(dim) ((dim) == 256 ? 64 : 128)
#define SDPA_PREFILL_COPIED(dim) ((SDPA_PREFILL_ROWS(dim) + 2 * SDPA_PREFILL_SLOTS) * SDPA_TILE_PITCH(dim))
#define SDPA_PREFILL_SUMS(dim) (SDPA_PREFILL_ROWS(dim) * (4 * (dim) + 16)) /* in the same place, later */
#define SDPA_PREFILL_SHARED(dim)                                                                               \
  ((SDPA_PREFILL_COPIED(dim) > SDPA_PREFILL_SUMS(dim) ? SDPA_PREFILL_COPIED(dim) : SDPA_PREFILL_SUMS(dim)) + \
   17 * SDPA_PREFILL_ROWS(dim) + 64)

/* sdpa_wgmma.cuh, of 512 dimensions: a pair of blocks has so many rows, and each block of the
 * pair 256 of the dimensions. Shared memory: Q and received dots, two tiles each of K and V. */
enum {
  SDPA_PAIR_ROWS = 128,
  SDPA_PAIR_SLOTS = 64,
  SDPA_PAIR_THREADS = 384,
  SDPA_PAIR_SHARED = SDPA_PAIR_ROWS * (512 + 4 * SDPA_PAIR_SLOTS) + 4 * SDPA_PAIR_SLOTS * 512 + 8 * SDPA_PAIR_ROWS + 320
};

/* n / d = n * multiplier >> 31 + shift, for n below 2^31. */
struct sdpa_divisor {
  uint32_t value, multiplier, shift;
};

static inline struct sdpa_divisor sdpa_divisor_of(uint32_t value) {
  struct sdpa_divisor d = {value, 0, 0};
  while (d.shift < 31 && (1u << d.shift) < value) d.shift++; /* 2^shift >= value */
  d.multiplier = (uint32_t)((((uint64_t)1 << (31 + d.shift)) + value - 1) / value);
  return d;
}

struct sdpa_kernel_args {
  const void *q, *k, *v, *mask;
  void *o;
  float *partial;               /* workspace; null: results go to o */
  const int32_t *kv_len_device; /* or null */
  int64_t q_stride[3], k_stride[3], v_stride[3], o_stride[3], mask_stride[3];
  struct sdpa_divisor group;  /* query heads of a KV head */
  struct sdpa_divisor splits; /* most that the slots of a row tile are cut into */
  uint32_t kv_heads, batch;
  uint32_t head_dim, q_len, kv_len, kv_capacity;
  uint32_t window;    /* 0: none */
  uint32_t flags;
  uint32_t mask_type; /* weir_mask */
  uint32_t o_type;    /* weir_type */
  float scale;        /* times log2(e), but with a softcap */
  float softcap;
  uint32_t row_tiles; /* that q_len * group rows are cut into */
  uint32_t tile_rows; /* rows of one: a power of two */
  uint32_t tile_shift; /* of which this is the logarithm */
  uint32_t split_shift; /* a split has 2^this slots at least, where there are several */
  uint32_t buffers;   /* for tiles of K and V in shared memory */
  uint32_t reserved;
  /* K and V as tensors of 16-bit elements [batch][kv_heads][head_dim / 64][slots][64], and
   * boxes of a whole tile of one head, in panels. */
  struct tensor_map k_map, v_map;
};

#endif

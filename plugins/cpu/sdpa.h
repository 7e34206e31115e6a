/* SPDX-License-Identifier: MIT */

/* Attention of the cpu plugin, what its files share: the state of some query
 * rows while they meet one tile of slots after another, and the kernels that
 * advance it. See sdpa.c for the algorithm. */
#ifndef WEIR_CPU_SDPA_H
#define WEIR_CPU_SDPA_H

#include <stdatomic.h>

#include "cpu.h"

/* Most slots of a tile: a row's attended slots of one tile are bits of a word. */
#define SDPA_TILE_MAX 64u

/* Rows of queries that share a KV head. Arrays have `count` entries or rows; rows
 * of q, sum and part are head_dim floats, rows of weight are `pitch` floats; max
 * and rescale have room for `count` up to the next multiple of 8. The
 * order of the elements in a row of q, sum and part is the kernels' own. */
struct sdpa_rows {
  uint32_t count, head_dim, pitch;
  float *q;
  float *sum;     /* of weight * v, relative to max */
  float *part;    /* the same over the present tile; zero between tiles */
  float *weight;  /* of the present tile: dot products, then exp(score - max) */
  float *max;     /* of all scores so far; -inf at first */
  float *rescale; /* exp(max before this tile - max) */
  double *total;  /* of the weights */
  uint64_t *keep; /* bit j: the row attends slot j of the tile; no bit from n on */
  const float **bias; /* what a mask adds in this tile; an entry is null for nothing */
};

/* Kernels for one instruction set; tables by element type are indexed by
 * weir_type. Slots are given by pointers to their K or V rows. `n` is how many
 * slots the tile has, 1..SDPA_TILE_MAX. `ahead` are as many rows that are needed
 * next, for kernels that fetch them into the cache. Arrays of rows hold pointers
 * that may be read up to the next multiple of 8 of n. */
struct sdpa_kernels {
  const char *name;
  int32_t score;
  /* One row of queries, as `kv_type` wants its elements ordered. */
  void (*load)(weir_type type, weir_type kv_type, const void *row, uint32_t head_dim, float *out);
  /* sum / total, rounded to `type`. */
  void (*store)(weir_type type, weir_type kv_type, const float *sum, float total, uint32_t head_dim, void *out);
  /* n entries of a mask: which are attended, and for additive ones their values. */
  uint64_t (*mask)(weir_mask mask, const void *entries, uint32_t n, float *out_bias);
  /* weight = dot(q, k). Slots that no row attends may be left out. */
  void (*dots[4])(const struct sdpa_rows *rows, const void *const *k, const void *const *ahead, uint32_t n);
  /* From dot products to weights; updates max, rescale and total. */
  void (*softmax)(const struct sdpa_rows *rows, uint32_t n, float scale, float softcap);
  /* sum = sum * rescale + weight * v over attended slots; others are not touched. */
  void (*values[4])(const struct sdpa_rows *rows, const void *const *v, const void *const *ahead, uint32_t n);
};

extern const struct sdpa_kernels cpu_sdpa_portable;
/* Null where the compiler's target has none. */
extern const struct sdpa_kernels *const cpu_sdpa_avx2;

float cpu_sdpa_exp(float x);

/* ---- Plan and call ------------------------------------------------------ */

enum { SDPA_ALIGN = 64, SDPA_SPLIT_MIN = 128 /* slots worth an item of their own */ };

struct weir_plugin_plan {
  const weir_host *host;
  const struct sdpa_kernels *kernels;
  weir_sdpa_desc desc;
  uint32_t group;    /* query heads of a KV head */
  uint32_t threads;
  uint32_t rows_max; /* of a tile of rows */
  uint32_t pitch;    /* slots of a tile of slots */
  uint32_t q_bytes, kv_bytes, o_bytes, mask_bytes; /* of an element */
};

/* How one call is cut. */
struct sdpa_cut {
  uint64_t group_rows; /* rows of a KV head: q_len * group */
  uint32_t rows;       /* of a tile */
  uint64_t tiles;
  uint32_t splits;
  uint64_t items;
  uint32_t workers;
  uint64_t scratch;    /* bytes of a worker */
  uint64_t partials;   /* floats of all partial results; 0 without splits */
};

struct sdpa_call {
  const weir_plugin_plan *plan;
  const weir_sdpa_args *args;
  struct sdpa_cut cut;
  char *scratch;   /* of all workers */
  float *partials; /* [batch, kv head, row, split] */
  atomic_uint_fast64_t next;
};

static inline uint64_t sdpa_min(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static inline uint64_t sdpa_ceil_div(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}

/* Bytes of a worker's scratch for tiles of `count` rows. */
uint64_t cpu_sdpa_scratch_size(const weir_plugin_plan *plan, uint32_t count);
/* Floats of the partial result of one row and split. */
uint64_t cpu_sdpa_partial_size(const weir_plugin_plan *plan);

/* Takes items until none is left; `arg` is the call, `index` the worker. */
void cpu_sdpa_work(void *arg, uint32_t index);
/* Once all items are done: merges part `index` of call->cut.workers. */
void cpu_sdpa_merge(void *arg, uint32_t index);

#endif

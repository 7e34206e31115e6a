/* SPDX-License-Identifier: MIT */

/* What a launch hands to the kernels of gemma_kernels.cu; C and C++. Types are weir_type. */
#ifndef GEMMA_ARGS_H
#define GEMMA_ARGS_H

#include <stdint.h>

/* As gemma_state. */
struct gemma_device_state {
  int32_t position, kv_len_full, kv_len_ring, reserved;
};

/* A block has one row, each thread 4 elements here and there. */
enum { GEMMA_QUADS_OF_THREAD = 2, GEMMA_ROW_THREADS = 1024, GEMMA_WIDTH_MOST = 4 * GEMMA_QUADS_OF_THREAD * GEMMA_ROW_THREADS };

struct gemma_embed_args {
  const int8_t *codes;
  const void *scales, *zeros;
  const int32_t *tokens;
  const float *norm;
  struct gemma_device_state *state;
  float *h;
  void *x;
  uint32_t width, group, is_min, scale_type, zero_type;
  uint32_t rows, window;
  float root; /* of width */
  float epsilon;
};

struct gemma_add_norm_args {
  const float *y, *post, *scale, *next;
  float *h;
  void *x;
  uint32_t width, first_x_row;
  float epsilon;
  uint32_t reserved;
};

/* A warp has one head of one row: the q heads, those of K, those of V. */
enum { GEMMA_HEAD_DIM_MOST = 512 };
struct gemma_heads_args {
  const float *q_norm, *k_norm, *frequencies;
  const float *q, *k, *v; /* rows of heads, with a stride */
  void *out_q, *out_k, *out_v;
  const struct gemma_device_state *state;
  uint32_t q_heads, kv_heads, head_dim;
  uint32_t slots, ring;
  int32_t first_slot;
  uint32_t rows, has_v_norm;
  float epsilon;
  uint32_t q_stride, k_stride, v_stride; /* in elements */
};

/* Threads of a block of gemma_gelu_mul, and of the copies; each has 4 elements, or 8. */
enum { GEMMA_ELEMENT_THREADS = 128 };

struct gemma_ring_args {
  const void *from_k, *from_v;
  void *to_k, *to_v;
  const struct gemma_device_state *state;
  uint32_t kv_heads, head_dim, ring, slots;
  uint32_t first, count; /* slots of the linear buffer */
  uint32_t rows;         /* of the step, where they are in the linear buffer already; else 0 */
  uint32_t reserved;
};

/* Threads of a block of the kernels that choose a token; each has 4 logits. */
enum { GEMMA_CHOOSE_THREADS = 256, GEMMA_CHOOSE_LOGITS = 4 * GEMMA_CHOOSE_THREADS };
/* Weights are counted by the upper bits of their keys, then by the rest. */
enum { GEMMA_COUNT_THREADS = 1024, GEMMA_COUNTS_OF_THREAD = 22, GEMMA_COUNTS = GEMMA_COUNT_THREADS * GEMMA_COUNTS_OF_THREAD };
enum { GEMMA_KEY_LOW = 14 };

/* Device memory, zero at first, and left so but for what one kernel tells the next. */
struct gemma_choice {
  uint32_t blocks_done;
  float most;            /* the greatest logit */
  uint64_t goal, above;  /* of top_p; weights of the groups above key_group */
  uint32_t key_group, least_key;
};

struct gemma_choose_args {
  float *logits;
  int32_t *tokens;
  struct gemma_device_state *state;
  struct gemma_choice *choice;
  uint64_t *counts;      /* [GEMMA_COUNTS], zero between steps */
  uint64_t *of_blocks;   /* one for each block of GEMMA_CHOOSE_LOGITS */
  uint64_t seed;
  uint32_t vocabulary, rows;
  float softcap; /* 0: none */
  float scale;   /* log2(e) / temperature */
  float top_p;
  uint32_t is_greedy;
};

#endif

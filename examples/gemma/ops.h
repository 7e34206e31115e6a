/* SPDX-License-Identifier: MIT */

/* ops.h: what a Gemma step does between the matvecs and the attentions. One table for
 * each kind of device: ops_cpu.c computes at once, ops_cuda.c enqueues the kernels of
 * gemma_kernels.cu. All pointers are memory of the device unless said otherwise, aligned to 16 bytes; widths
 * and head_dim are multiples of 8.
 *
 * Every function only enqueues (legal under stream capture), works on `rows` tokens of
 * one sequence, and reads lengths that change from step to step from `state`, so that a
 * captured graph stays true. A step begins with embed, which alone may run while an older step is still
 * being computed; what the host has written (tables, norms, frequencies, scales, ids, state) must be complete
 * before (weir_synchronize, or the same stream). h, y, q, k, v and logits are f32; `x` (what is quantised next,
 * and what attention gives) is of ops->x_type. Norms: x * weight / sqrt(mean(x^2) + epsilon),
 * the weight as the GGUF file holds it (its converter has folded the 1 in).
 */
#ifndef GEMMA_OPS_H
#define GEMMA_OPS_H

#include "config.h"

/* Of one sequence, in device memory; the host writes it only between steps. */
typedef struct gemma_state {
  int32_t position;     /* tokens in the KV caches: the position of a step's first row */
  int32_t kv_len_full;  /* position + rows, set by embed */
  int32_t kv_len_ring;  /* min(position + rows, window), set by embed */
  int32_t reserved;
} gemma_state;

/* Rows of a quantised embedding table: value = scale * (code - zero) or scale * code + min,
 * as weir_matvec_desc says, canonical [N,groups]. */
typedef struct gemma_table {
  weir_matvec_desc desc; /* int8; n = vocabulary, k = embedding */
  const void *codes, *scales, *zeros;
} gemma_table;

typedef struct gemma_sampling {
  float temperature; /* 0: greedy, the lowest of equal tokens */
  float top_p;       /* (0, 1]: the smallest set of most likely tokens whose probability reaches it */
  uint64_t seed;     /* the choice is a pure function of seed, position and logits */
} gemma_sampling;

typedef struct gemma_rope_args {
  const gemma_layer *layer;  /* host memory */
  uint32_t q_heads;
  float epsilon;
  bool has_v_norm;
  const float *q_norm, *k_norm; /* [head_dim] */
  const float *inverse_frequencies; /* [head_dim/2]: angle of pair i at position p is p * f[i], rounded to f32; 0 past rope_pairs */
  const float *q, *k, *v;    /* [rows, heads * head_dim]; v is k where layer->v_is_k */
  uint32_t q_stride, k_stride, v_stride; /* elements from row to row: multiples of 4 */
  void *out_q;               /* bf16 [rows, q_heads, head_dim] */
  void *out_k, *out_v;       /* bf16 [kv_heads, slots, head_dim] */
  uint32_t slots;
  uint32_t ring;             /* > 0: row r of position p goes to slot p % ring; 0: to slot `first_slot` + r, */
  int32_t first_slot;        /* or, when that is -1, to slot p */
} gemma_rope_args;

typedef struct gemma_ops gemma_ops;
struct gemma_ops {
  weir_type x_type; /* F32 on the CPU, BF16 on CUDA */
  weir_device *device;
  uint32_t rows_most;

  /* h[r] = table[token] * sqrt(embedding); x = norm(h) * weight; sets kv_len_* in state.
   * Row r is token all_tokens[position + r]; the host has checked the ids. */
  weir_status (*embed)(gemma_ops *ops, const gemma_table *table, const int32_t *all_tokens, uint32_t rows, uint32_t window,
                       const float *norm, float epsilon, gemma_state *state, float *out_h, void *out_x, weir_stream stream);
  /* h = (h + norm(y) * post) * scale[0], then x = norm(h) * next. scale null: 1. Only the last
   * `x_rows` rows of x are made, at out_x[0] on. */
  weir_status (*add_norm)(gemma_ops *ops, uint32_t rows, uint32_t x_rows, uint32_t width, const float *y, const float *post,
                          const float *scale, const float *next, float epsilon, float *h, void *out_x, weir_stream stream);
  /* Norms of heads, rotation of q and k, bf16, and K and V into their cache. */
  weir_status (*rope_append)(gemma_ops *ops, uint32_t rows, const gemma_rope_args *args, const gemma_state *state,
                             weir_stream stream);
  /* x = gelu_tanh(gate) * up, [rows, width]; rows of gate, and of up, are `stride` elements apart, a multiple of 4 */
  weir_status (*gelu_mul)(gemma_ops *ops, uint32_t rows, uint32_t width, const float *gate, const float *up, uint32_t stride,
                          void *out_x, weir_stream stream);
  /* The ring's last `count` tokens before state->position, oldest first, to slots [0, count) of a linear
   * buffer [kv_heads, slots, head_dim]; and slots [first, first + count) of the linear buffer, the tokens that end
   * at position + rows, into the ring. Both for K and V of one layer (bf16). count is known to the host. */
  weir_status (*ring_to_linear)(gemma_ops *ops, const gemma_layer *layer, uint32_t ring, uint32_t slots, uint32_t count,
                                const void *ring_k, const void *ring_v, const gemma_state *state, void *out_k, void *out_v,
                                weir_stream stream);
  weir_status (*linear_to_ring)(gemma_ops *ops, const gemma_layer *layer, uint32_t ring, uint32_t slots, uint32_t first,
                                uint32_t count, uint32_t rows, const void *k, const void *v, const gemma_state *state,
                                void *out_ring_k, void *out_ring_v, weir_stream stream);
  /* Of one row of logits [vocabulary] (softcap applied here, in place, when > 0): the token at
   * all_tokens[position + rows] and position += rows. Which token: sampling.h. */
  weir_status (*sample)(gemma_ops *ops, uint32_t rows, uint32_t vocabulary, float softcap, const gemma_sampling *sampling,
                        float *logits, int32_t *all_tokens, gemma_state *state, weir_stream stream);
  void (*close)(gemma_ops *ops);
};

/* By the kind of the device. */
weir_status gemma_ops_open(weir_device *device, uint32_t rows_most, uint32_t vocabulary, gemma_ops **out_ops);
weir_status gemma_ops_open_cpu(weir_device *device, uint32_t rows_most, gemma_ops **out_ops);
weir_status gemma_ops_open_cuda(weir_device *device, uint32_t rows_most, uint32_t vocabulary, gemma_ops **out_ops);

#endif

/* SPDX-License-Identifier: MIT */

/* session.h: a model on a device, and one sequence of tokens that it continues. */
#ifndef GEMMA_SESSION_H
#define GEMMA_SESSION_H

#include "cache.h"
#include "profile.h"
#include "weights.h"

enum { GEMMA_GEOMETRIES_MOST = 16, GEMMA_ACTS = 3 };

/* An attention, as layers of one geometry share it. */
typedef struct gemma_attention {
  weir_sdpa_desc desc;
  weir_plan *plan;
  weir_sdpa_info info;
  void *workspace;
  uint64_t workspace_size;
} gemma_attention;

typedef struct gemma_geometry {
  gemma_layer layer;
  float *frequencies; /* [head_dim/2] */
  uint32_t slots;     /* of a layer's cache: the window, or the context */
  gemma_attention one, many;
} gemma_geometry;

typedef struct gemma_cache_slots {
  gemma_geometry *geometry;
  void *k, *v; /* bf16 [kv_heads, slots, head_dim] */
} gemma_cache_slots;

/* Between the operations of a step. `rows` is rows_most. */
typedef struct gemma_buffers {
  gemma_state *state;
  int32_t *tokens;         /* [context + 1] */
  float *h, *y;            /* [rows, embedding] */
  void *x;                 /* [rows, embedding] of x_type */
  float *qkv;              /* y of the matrices of q, k and v, one behind the other */
  void *q_rotated;         /* bf16 */
  void *attended;          /* [rows, q_heads * head_dim] of x_type */
  float *gate_up;          /* likewise of gate and up */
  void *gated;             /* [rows, feed_forward] of x_type */
  void *linear_k, *linear_v; /* bf16 [kv_heads, window + rows, head_dim] */
  void *act[GEMMA_ACTS];   /* quantised activations, one for each distinct act_tag */
  uint64_t act_size;
  float *logits;           /* [head_rows, vocabulary] */
} gemma_buffers;

typedef struct gemma_options {
  const char *device;    /* null: cuda:0 when there is one, else cpu */
  uint32_t context;      /* most tokens of the sequence */
  uint32_t chunk;        /* most tokens of one prefill step */
  uint32_t head_rows;    /* rows whose logits can be had in one step: 1, more for perplexity */
  const char *cache;     /* directory for packed weights; null: none */
  gemma_sampling sampling;
} gemma_options;

typedef struct gemma_session {
  gemma_source source;
  gemma_options options;
  weir_runtime *runtime;
  weir_device *device;
  weir_device_info info;
  weir_stream stream;    /* null on the CPU */
  gemma_ops *ops;
  gemma_weights weights;
  gemma_geometry geometry[GEMMA_GEOMETRIES_MOST];
  uint32_t geometries;
  gemma_cache_slots *layer;
  gemma_buffers buffer;
  gemma_arena arena;
  gemma_cache *cache;    /* mapped packed weights, or null */
  uint64_t cache_model;  /* the fingerprint of the model, with --cache */
  weir_graph *graph;     /* a decode step; made by the first one */
  uint32_t position;     /* tokens in the KV caches */
  gemma_profile *profile; /* null: steps are not timed, and decode runs as a graph */
} gemma_session;

/* The source is copied; its file must stay open. */
weir_status gemma_session_open(const gemma_source *source, const gemma_options *options, gemma_session **out_session);
void gemma_session_close(gemma_session *session);

/* Continues the sequence with tokens and chooses the next one. The ids must be in the vocabulary. */
weir_status gemma_prefill(gemma_session *session, const int32_t *tokens, uint32_t count, int32_t *out_next);
/* Continues with the token that was chosen last. */
weir_status gemma_decode(gemma_session *session, int32_t *out_next);
/* The logits, after the softcap, from which the latest token was chosen: [vocabulary] in host memory. */
weir_status gemma_logits(gemma_session *session, float *out_logits);
/* As gemma_prefill, but gives the logits after every token to `take`, in order, instead of choosing.
 * They are before the softcap. */
typedef weir_status (*gemma_logits_fn)(void *user, uint32_t index, const float *logits);
weir_status gemma_score(gemma_session *session, const int32_t *tokens, uint32_t count, gemma_logits_fn take, void *user);
/* Forgets all tokens. */
weir_status gemma_rewind(gemma_session *session);
/* Bytes of weights and of K and V that the decode step at a position reads. */
uint64_t gemma_step_bytes(const gemma_session *session, uint32_t position);

/* Tokens of a sliding layer's ring that a step from session->position on attends. */
uint32_t gemma_ring_before(const gemma_session *session, const gemma_geometry *geometry);

/* step.c: enqueues `rows` tokens from session->position on, through all layers, to the output
 * norm of the last x_rows of them, at buffer.x. one: as the decode step does it; rows is 1. */
typedef struct gemma_step {
  uint32_t rows, x_rows;
  bool one;
} gemma_step;
weir_status gemma_step_layers(gemma_session *session, const gemma_step *step);
/* Rows of x as the step left them, to buffer.logits; at most head_rows. */
weir_status gemma_step_head(gemma_session *session, const void *x, uint32_t rows, bool one);
/* The next token, from the first row of logits; the position on the device moves on by `rows`. */
weir_status gemma_step_sample(gemma_session *session, uint32_t rows);

#endif

/* SPDX-License-Identifier: MIT */

/* config.h: what a Gemma model looks like, from GGUF metadata or by name. */
#ifndef GEMMA_CONFIG_H
#define GEMMA_CONFIG_H

#include "library.h"

enum { GEMMA_LAYERS_MOST = 256 };

/* One transformer layer. */
typedef struct gemma_layer {
  bool is_sliding;     /* attends the last `window` tokens, else all */
  bool v_is_k;         /* no V matrix: V is K before its norm and rotation */
  uint32_t kv_heads;
  uint32_t head_dim;
  float rope_base;
  uint32_t rope_pairs; /* of head_dim/2 pairs (i, i + head_dim/2), the first so many rotate */
  float rope_scale;    /* positions are multiplied with it: 1, or 1/factor of a stretched context */
} gemma_layer;

typedef struct gemma_config {
  char architecture[16]; /* "gemma3", "gemma4" */
  char name[64];
  uint32_t layers, embedding, feed_forward, vocabulary;
  uint32_t q_heads;
  uint32_t window;       /* of sliding layers; 0: there are none */
  uint32_t context;      /* what the model was trained for */
  float norm_epsilon;
  float attention_scale; /* gemma3: 1/sqrt(head_dim), or what the metadata says; gemma4: 1 */
  float final_softcap;   /* of logits; 0 = none */
  bool has_v_norm;       /* RMS norm of V without a weight */
  bool has_layer_scale;  /* each layer's output is multiplied with its own scalar */
  gemma_layer layer[GEMMA_LAYERS_MOST];
} gemma_config;

/* Reads and checks the metadata: every number is bounded, every tensor that a layer
 * needs is there with the right shape. An unknown architecture is refused by name. */
weir_status gemma_config_read(const weir_gguf *gguf, gemma_config *out_config);
/* "gemma3-270m", "gemma4-31b", "tiny" (two layers, for tests) */
weir_status gemma_config_named(const char *name, gemma_config *out_config);

#endif

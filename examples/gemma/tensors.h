/* SPDX-License-Identifier: MIT */

/* tensors.h: what the tensors of a Gemma GGUF file are called and which shapes they have. */
#ifndef GEMMA_TENSORS_H
#define GEMMA_TENSORS_H

#include "config.h"

enum { GEMMA_NAME_SIZE = 64 };

/* The matrices of a layer, in the order of their use. */
typedef enum gemma_role {
  GEMMA_Q,
  GEMMA_K,
  GEMMA_V,
  GEMMA_O,
  GEMMA_GATE,
  GEMMA_UP,
  GEMMA_DOWN,
  GEMMA_ROLES
} gemma_role;

/* The vectors of a layer. */
typedef enum gemma_norm {
  GEMMA_ATTENTION_NORM,
  GEMMA_Q_NORM,
  GEMMA_K_NORM,
  GEMMA_POST_ATTENTION_NORM,
  GEMMA_FFN_NORM,
  GEMMA_POST_FFN_NORM,
  GEMMA_LAYER_SCALE,
  GEMMA_NORMS
} gemma_norm;

/* "q", "gate" */
const char *gemma_role_name(gemma_role role);
/* Whether the matrix multiplies the x of the role before it. */
bool gemma_role_shares_x(gemma_role role);
/* Outputs and inputs of the matrix; *out_n is 0 when the layer has none (V that is K). */
void gemma_role_shape(const gemma_config *config, uint32_t layer, gemma_role role, uint32_t *out_n, uint32_t *out_k);
/* Elements of the vector; 0 when the model has none (the layer's scale). */
uint32_t gemma_norm_size(const gemma_config *config, uint32_t layer, gemma_norm norm);
/* "blk.0.attn_q.weight" */
void gemma_role_tensor(uint32_t layer, gemma_role role, char out_name[GEMMA_NAME_SIZE]);
void gemma_norm_tensor(uint32_t layer, gemma_norm norm, char out_name[GEMMA_NAME_SIZE]);

#define GEMMA_EMBEDDING_TENSOR "token_embd.weight"
#define GEMMA_HEAD_TENSOR "output.weight" /* where it is missing, the head is the embedding */
#define GEMMA_OUTPUT_NORM_TENSOR "output_norm.weight"
#define GEMMA_ROPE_TENSOR "rope_freqs.weight"

#endif

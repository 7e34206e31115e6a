/* SPDX-License-Identifier: MIT */
#include "tensors.h"

#include <stdio.h>

static const char *const role_names[GEMMA_ROLES] = {
  [GEMMA_Q] = "q",       [GEMMA_K] = "k",   [GEMMA_V] = "v",       [GEMMA_O] = "o",
  [GEMMA_GATE] = "gate", [GEMMA_UP] = "up", [GEMMA_DOWN] = "down",
};
static const char *const role_tensors[GEMMA_ROLES] = {
  [GEMMA_Q] = "attn_q",      [GEMMA_K] = "attn_k", [GEMMA_V] = "attn_v",      [GEMMA_O] = "attn_output",
  [GEMMA_GATE] = "ffn_gate", [GEMMA_UP] = "ffn_up", [GEMMA_DOWN] = "ffn_down",
};
static const char *const norm_tensors[GEMMA_NORMS] = {
  [GEMMA_ATTENTION_NORM] = "attn_norm",
  [GEMMA_Q_NORM] = "attn_q_norm",
  [GEMMA_K_NORM] = "attn_k_norm",
  [GEMMA_POST_ATTENTION_NORM] = "post_attention_norm",
  [GEMMA_FFN_NORM] = "ffn_norm",
  [GEMMA_POST_FFN_NORM] = "post_ffw_norm",
  [GEMMA_LAYER_SCALE] = "layer_output_scale",
};

const char *gemma_role_name(gemma_role role) { return role_names[role]; }

bool gemma_role_shares_x(gemma_role role) { return role == GEMMA_K || role == GEMMA_V || role == GEMMA_UP; }

void gemma_role_shape(const gemma_config *config, uint32_t layer, gemma_role role, uint32_t *out_n, uint32_t *out_k) {
  const gemma_layer *at = &config->layer[layer];
  uint32_t q = config->q_heads * at->head_dim, kv = at->kv_heads * at->head_dim;
  uint32_t e = config->embedding, f = config->feed_forward;
  const uint32_t shapes[GEMMA_ROLES][2] = {
    [GEMMA_Q] = {q, e},    [GEMMA_K] = {kv, e}, [GEMMA_V] = {at->v_is_k ? 0 : kv, e}, [GEMMA_O] = {e, q},
    [GEMMA_GATE] = {f, e}, [GEMMA_UP] = {f, e}, [GEMMA_DOWN] = {e, f},
  };
  *out_n = shapes[role][0];
  *out_k = shapes[role][1];
}

uint32_t gemma_norm_size(const gemma_config *config, uint32_t layer, gemma_norm norm) {
  if (norm == GEMMA_LAYER_SCALE) return config->has_layer_scale;
  if (norm == GEMMA_Q_NORM || norm == GEMMA_K_NORM) return config->layer[layer].head_dim;
  return config->embedding;
}

void gemma_role_tensor(uint32_t layer, gemma_role role, char out_name[GEMMA_NAME_SIZE]) {
  snprintf(out_name, GEMMA_NAME_SIZE, "blk.%u.%s.weight", layer, role_tensors[role]);
}

void gemma_norm_tensor(uint32_t layer, gemma_norm norm, char out_name[GEMMA_NAME_SIZE]) {
  snprintf(out_name, GEMMA_NAME_SIZE, "blk.%u.%s.weight", layer, norm_tensors[norm]);
}

/* SPDX-License-Identifier: MIT */

/* What one decode token of a GGUF model does, in order. */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <stdbool.h>
#include <weir/weir.h>

typedef struct model_step {
  bool is_attention;
  char name[32]; /* "attn_q", "lm_head", "sdpa" */
  uint32_t layer;

  /* A matrix. Steps of equal `input` that follow each other read the same activations. */
  weir_tensor tensor;
  uint32_t input;

  /* Attention of one query. */
  uint32_t q_heads, kv_heads, head_dim, window;
  float scale, softcap;
} model_step;

typedef struct model {
  weir_gguf *gguf;
  char arch[64], name[128];
  uint32_t layers;
  model_step *step;
  uint32_t steps, capacity;
  uint32_t inputs; /* distinct activations */
  char note[768];  /* what is in the file and not in the steps, one sentence a line */
} model;

/* 0, or the exit status after saying on stderr, as `weir COMMAND`, what is wrong. */
int model_open(const char *command, const char *path, model *out_model);
void model_close(model *model);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SHAPE_H
#define SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one decode token of a model reads, layer kind by layer kind. */
typedef struct model_matrix {
  const char *name;
  uint32_t n, k;
  uint32_t count;  /* matvecs a token */
  uint32_t inputs; /* how many of them bring a new activation vector (q does, k and v share it) */
} model_matrix;

typedef struct model_attention {
  const char *name;
  uint32_t q_heads, kv_heads, head_dim;
  uint32_t window; /* 0 = none */
  uint32_t count;
} model_attention;

typedef struct model_shape {
  const char *name;
  const model_matrix *matrices;
  size_t matrix_count;
  const model_attention *attentions;
  size_t attention_count;
} model_shape;

extern const model_shape model_shapes[];
extern const size_t model_shape_count;

const model_shape *model_shape_find(const char *name);

/* "N,K" or "N,K,M"; *out_m is left alone without M. On failure false, and a
 * sentence in error. */
bool shape_parse_matvec(const char *text, uint32_t *out_n, uint32_t *out_k, uint32_t *out_m, char *error,
                        size_t error_size);
/* An attention of `weir bench --sdpa`. */
typedef struct sdpa_shape {
  char name[32]; /* "gemma-full", or "32:4:512" */
  uint32_t q_heads, kv_heads, head_dim;
  uint32_t kv_len; /* 0: not said here */
} sdpa_shape;

/* Names, "HQ:HKV:D" and "HQ:HKV:D:LEN" with commas between them, or "all" names. The
 * number of shapes; 0 and a sentence in error when the text is none, or more than `most`. */
size_t shape_parse_sdpa_list(const char *text, sdpa_shape *out_shapes, size_t most, char *error, size_t error_size);
/* "LEN" and "A..B" (A, 2A, 4A ... up to B) with commas between them; as above. */
size_t shape_parse_lengths(const char *text, uint32_t *out_lengths, size_t most, char *error, size_t error_size);
/* "HQ:HKV:D:LEN" */
bool shape_parse_sdpa(const char *text, uint32_t *out_q_heads, uint32_t *out_kv_heads, uint32_t *out_head_dim,
                      uint32_t *out_kv_len, char *error, size_t error_size);

#endif

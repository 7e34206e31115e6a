/* SPDX-License-Identifier: MIT */

/* source.h: where weights come from: a GGUF file, or random numbers of the right types. */
#ifndef GEMMA_SOURCE_H
#define GEMMA_SOURCE_H

#include "config.h"

typedef struct gemma_source {
  gemma_config config;
  const weir_gguf *gguf; /* null: random */
} gemma_source;

/* Fills op, n, k, group, form, scale_type and zero_type for a matrix. op 0: as the
 * source has it; the embedding table asks for int8. */
weir_status gemma_source_describe(const gemma_source *source, const char *name, uint32_t n, uint32_t k, weir_op op,
                                  weir_matvec_desc *desc);
/* Canonical rows [n0, n1) of a matrix, [N,groups]; out_zeros is null exactly when desc has none. */
weir_status gemma_source_rows(const gemma_source *source, const char *name, const weir_matvec_desc *desc, uint32_t n0,
                              uint32_t n1, void *out_codes, void *out_scales, void *out_zeros);
weir_status gemma_source_vector(const gemma_source *source, const char *name, uint32_t size, float *out_vector);
/* The tensor of the head: its own, or the embedding's. */
const char *gemma_source_head(const gemma_source *source);

/* Bytes of one canonical row. */
uint64_t gemma_code_bytes(const weir_matvec_desc *desc);
uint64_t gemma_scale_bytes(const weir_matvec_desc *desc);
uint64_t gemma_zero_bytes(const weir_matvec_desc *desc);

#endif

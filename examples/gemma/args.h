/* SPDX-License-Identifier: MIT */

/* args.h: the command line of weir-gemma. */
#ifndef GEMMA_ARGS_LINE_H
#define GEMMA_ARGS_LINE_H

#include "ops.h"

typedef struct gemma_args {
  const char *model, *synthetic, *library;
  const char *prompt, *prompt_file, *tokens, *perplexity;
  const char *device, *cache;
  uint32_t new_tokens;
  uint32_t context, chunk; /* 0: not given */
  gemma_sampling sampling;
  uint32_t bench_prompt, bench_new; /* 0: no --bench */
  double bandwidth;                 /* bytes a second; 0: it is measured */
  uint32_t top;                     /* --logits */
  bool chat, json, profile, print_tokens;
} gemma_args;

typedef enum gemma_args_result {
  GEMMA_ARGS_RUN,
  GEMMA_ARGS_DONE, /* --help or --version is on stdout; exit 0 */
  GEMMA_ARGS_USAGE /* a line is on stderr; exit 2 */
} gemma_args_result;

gemma_args_result gemma_args_parse(int argc, char **argv, gemma_args *out_args);
/* "1,2,3": *out_tokens is malloc'd. WEIR_E_SYNTAX names the position. */
weir_status gemma_args_tokens(const char *text, int32_t **out_tokens, uint32_t *out_count);

#endif

/* SPDX-License-Identifier: MIT */

/* generate.h: a prompt, and what the model makes of it, to stdout. */
#ifndef GEMMA_GENERATE_H
#define GEMMA_GENERATE_H

#include "args.h"
#include "session.h"
#include "tokenizer.h"

/* What main has opened. */
typedef struct gemma_job {
  const gemma_args *args;
  gemma_source source;
  gemma_tokenizer *tokenizer; /* null with --synthetic */
  gemma_session *session;     /* null until opened */
} gemma_job;

/* How many tokens there will be room for: as --context says, else `wanted` and 4096 where the model has so many. */
uint32_t gemma_job_context(const gemma_job *job, uint32_t wanted);
/* Opens job->session. */
weir_status gemma_job_open(gemma_job *job, uint32_t context, uint32_t head_rows);
/* With --profile: from now on steps are timed. */
weir_status gemma_job_profile(gemma_job *job);
/* Each does the whole job, errors apart. */
weir_status gemma_generate(gemma_job *job);
weir_status gemma_chat(gemma_job *job);
weir_status gemma_bench(gemma_job *job);
weir_status gemma_perplexity(gemma_job *job);

/* The text of a file, malloc'd and NUL-terminated. */
weir_status gemma_read_file(const char *path, char **out_text, size_t *out_bytes);
/* Flushes stdout: WEIR_E_IO when anything could not be written. */
weir_status gemma_finish_output(void);

#endif

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

enum { DEFAULT_CONTEXT = 4096, DEFAULT_CHUNK = 512 };

weir_status gemma_finish_output(void) {
  if (!fflush(stdout) && !ferror(stdout)) return WEIR_OK;
  return gemma_fail(WEIR_E_IO, "the output could not be written");
}

weir_status gemma_read_file(const char *path, char **out_text, size_t *out_bytes) {
  size_t used = 0, size = 1 << 16;
  FILE *file = fopen(path, "rb");
  char *text = file ? malloc(size + 1) : NULL;
  *out_text = NULL;
  *out_bytes = 0;
  if (!file) return gemma_fail(WEIR_E_IO, "%s cannot be opened: %s", path, strerror(errno));
  while (text) {
    used += fread(text + used, 1, size - used, file);
    if (used < size) break;
    char *larger = realloc(text, 2 * size + 1);
    if (!larger) free(text);
    text = larger;
    size *= 2;
  }
  bool failed = ferror(file);
  fclose(file);
  if (!text) return gemma_fail(WEIR_E_NOMEM, "no memory for the text of %s", path);
  if (failed) {
    free(text);
    return gemma_fail(WEIR_E_IO, "%s cannot be read", path);
  }
  text[used] = '\0';
  *out_text = text;
  *out_bytes = used;
  return WEIR_OK;
}

uint32_t gemma_job_context(const gemma_job *job, uint32_t wanted) {
  const uint32_t trained = job->source.config.context, context = wanted > DEFAULT_CONTEXT ? wanted : DEFAULT_CONTEXT;
  if (job->args->context) return job->args->context;
  return context < trained ? context : trained;
}

weir_status gemma_job_open(gemma_job *job, uint32_t context, uint32_t head_rows) {
  const gemma_args *args = job->args;
  gemma_options options = {.device = args->device,
                           .context = context,
                           .chunk = args->chunk ? args->chunk : DEFAULT_CHUNK,
                           .head_rows = head_rows,
                           .cache = args->cache,
                           .sampling = args->sampling};
  return gemma_session_open(&job->source, &options, &job->session);
}

weir_status gemma_job_profile(gemma_job *job) {
  gemma_session *session = job->session;
  if (!job->args->profile) return WEIR_OK;
  return gemma_profile_open(session->device, session->stream, &session->profile);
}

static weir_status run(gemma_job *job) {
  if (job->args->bench_prompt) return gemma_bench(job);
  if (job->args->perplexity) return gemma_perplexity(job);
  bool has_prompt = job->args->prompt || job->args->prompt_file || job->args->tokens;
  return has_prompt ? gemma_generate(job) : gemma_chat(job);
}

int main(int argc, char **argv) {
  gemma_args args;
  gemma_job job = {.args = &args};
  weir_gguf *gguf = NULL;
  weir_status status;

  switch (gemma_args_parse(argc, argv, &args)) {
    case GEMMA_ARGS_DONE: return gemma_finish_output() ? 1 : 0;
    case GEMMA_ARGS_USAGE: return 2;
    case GEMMA_ARGS_RUN: break;
  }
  status = gemma_library_open(args.library);
  if (!status && args.synthetic) status = gemma_config_named(args.synthetic, &job.source.config);
  if (!status && args.model) status = weir->gguf_open(args.model, &gguf);
  if (!status && args.model) {
    job.source.gguf = gguf;
    status = gemma_config_read(gguf, &job.source.config);
    if (!status) status = gemma_tokenizer_open(gguf, &job.tokenizer);
  }
  if (!status) status = run(&job);
  if (status) fprintf(stderr, "weir-gemma: %s\n", gemma_error(status));
  if (job.session) gemma_profile_close(job.session->profile);
  gemma_session_close(job.session);
  gemma_tokenizer_close(job.tokenizer);
  if (gguf) weir->gguf_close(gguf);
  return status ? 1 : 0;
}

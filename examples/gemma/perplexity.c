/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "generate.h"
#include "report.h"

enum { LOGIT_ROWS = 32 };

/* A text, cut into windows of `context` tokens. Each begins with BOS, or, where the model has none, with the
 * last token of the one before; every token of the text is predicted once. */
typedef struct score {
  const gemma_job *job;
  const int32_t *window; /* the token after position i is window[i + 1] */
  double nats;           /* -log of the probability of all tokens */
  uint64_t predicted;
} score;

static double capped(double logit, double softcap) { return softcap > 0 ? softcap * tanh(logit / softcap) : logit; }

/* log of the sum of exp(logits); NaN where a logit is. */
static double log_sum(const float *logits, uint32_t count, double softcap) {
  double most = -INFINITY, sum = 0;
  for (uint32_t i = 0; i < count; i++)
    if (!((double)logits[i] <= most)) most = (double)logits[i];
  most = capped(most, softcap);
  for (uint32_t i = 0; i < count; i++) sum += exp(capped((double)logits[i], softcap) - most);
  return most + log(sum);
}

static weir_status take(void *user, uint32_t index, const float *logits) {
  score *score = user;
  const gemma_config *config = &score->job->source.config;
  const double softcap = (double)config->final_softcap;
  const int32_t token = score->window[index + 1];
  double nats = log_sum(logits, config->vocabulary, softcap) - capped((double)logits[token], softcap);
  if (!isfinite(nats))
    return gemma_fail(WEIR_E_INTERNAL, "the logits after token %u of the text are not all finite, so it has no "
                      "perplexity; compare the plugins with weir verify", index);
  score->nats += nats;
  score->predicted++;
  return WEIR_OK;
}

/* window[0] is read only; the `count` tokens behind it are predicted. */
static weir_status score_window(score *score, const int32_t *window, uint32_t count) {
  weir_status status = gemma_rewind(score->job->session);
  score->window = window;
  return status ? status : gemma_score(score->job->session, window, count, take, score);
}

static weir_status score_text(score *score, int32_t *tokens, uint32_t count) {
  const uint32_t most = score->job->session->options.context;
  const char *text;
  const int32_t bos = tokens[0];
  const bool has_bos = gemma_token_text(score->job->tokenizer, bos, &text) == 0;
  weir_status status = WEIR_OK;
  for (uint32_t first = 0, predicted; first + 1 < count && !status; first += predicted) {
    predicted = count - 1 - first < most ? count - 1 - first : most;
    if (has_bos) tokens[first] = bos;
    status = score_window(score, tokens + first, predicted);
  }
  return status;
}

static weir_status print_json(const score *score, size_t bytes, double seconds) {
  struct json json;
  json_start(&json, stdout);
  json_object_begin(&json);
  gemma_json_session(&json, score->job->session);
  json_key(&json, "text");
  json_string(&json, score->job->args->perplexity);
  json_key(&json, "bytes");
  json_uint(&json, bytes);
  json_key(&json, "tokens");
  json_uint(&json, score->predicted);
  gemma_json_number(&json, "perplexity", exp(score->nats / (double)score->predicted));
  gemma_json_number(&json, "bits_per_byte", score->nats / log(2) / (double)bytes);
  gemma_json_number(&json, "seconds", seconds);
  gemma_json_profile(&json, score->job->session);
  json_object_end(&json);
  json_finish(&json);
  return gemma_finish_output();
}

static weir_status print_text(const score *score, size_t bytes, double seconds) {
  printf("perplexity %.4f of %llu tokens, %.4f bits per byte of text\n", exp(score->nats / (double)score->predicted),
         (unsigned long long)score->predicted, score->nats / log(2) / (double)bytes);
  weir_status status = gemma_finish_output();
  if (status) return status;
  fprintf(stderr, "%.1f tok/s\n", (double)score->predicted / seconds);
  gemma_report_profile(score->job->session);
  return WEIR_OK;
}

static weir_status read_tokens(const gemma_job *job, int32_t **out_tokens, uint32_t *out_count, size_t *out_bytes) {
  const char *path = job->args->perplexity;
  char *text;
  weir_status status = gemma_read_file(path, &text, out_bytes);
  *out_tokens = NULL;
  if (status) return status;
  status = gemma_tokenize(job->tokenizer, text, *out_bytes, true, false, out_tokens, out_count);
  free(text);
  if (!status && *out_count < 2)
    status = gemma_fail(WEIR_E_INVALID, "%s has %zu bytes of text; perplexity needs at least one token to predict", path,
                        *out_bytes);
  return status;
}

weir_status gemma_perplexity(gemma_job *job) {
  score score = {.job = job};
  int32_t *tokens;
  uint32_t count;
  size_t bytes;
  double seconds = 0;
  weir_status status;

  status = read_tokens(job, &tokens, &count, &bytes);
  if (!status) status = gemma_job_open(job, gemma_job_context(job, count - 1), LOGIT_ROWS);
  if (!status) {
    if (!job->args->json) gemma_report_plugins(job->session);
    seconds = gemma_seconds();
    status = score_text(&score, tokens, count);
    seconds = gemma_seconds() - seconds;
  }
  if (!status) status = job->args->json ? print_json(&score, bytes, seconds) : print_text(&score, bytes, seconds);
  free(tokens);
  return status;
}

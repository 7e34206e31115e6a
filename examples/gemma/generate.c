/* SPDX-License-Identifier: MIT */
#include "generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat.h"
#include "report.h"

/* A token with its logit. */
typedef struct ranked {
  int32_t id;
  float logit;
} ranked;

/* A prompt and what came after it. */
typedef struct run {
  gemma_job *job;
  int32_t *prompt;
  uint32_t prompt_count;
  int32_t *token; /* [most] */
  ranked *top;    /* [most, args->top]; null without --logits */
  float *logits;
  uint32_t count, most;
  double prefill_seconds, decode_seconds;
} run;

static weir_status tokenize_prompt(gemma_job *job, int32_t **out_tokens, uint32_t *out_count) {
  const gemma_args *args = job->args;
  char *text = NULL;
  size_t bytes = args->prompt ? strlen(args->prompt) : 0;
  weir_status status = WEIR_OK;
  if (args->tokens) return gemma_args_tokens(args->tokens, out_tokens, out_count);
  if (args->prompt_file) status = gemma_read_file(args->prompt_file, &text, &bytes);
  const char *prompt = text ? text : args->prompt;
  if (!status && args->chat) status = gemma_chat_turn(job->tokenizer, prompt, bytes, true, -1, out_tokens, out_count);
  else if (!status) status = gemma_tokenize(job->tokenizer, prompt, bytes, true, false, out_tokens, out_count);
  free(text);
  return status;
}

/* The `wanted` greatest logits, greatest first; of equal ones the lower id. NaN is none of them; where there are too few,
 * the rest has the id -1. */
static void rank(const float *logits, uint32_t vocabulary, uint32_t wanted, ranked *out_top) {
  uint32_t count = 0;
  for (uint32_t id = 0; id < vocabulary; id++) {
    uint32_t at = count;
    if (isnan(logits[id]) || (count == wanted && !(logits[id] > out_top[count - 1].logit))) continue;
    if (count < wanted) count++;
    else at--;
    for (; at > 0 && logits[id] > out_top[at - 1].logit; at--) out_top[at] = out_top[at - 1];
    out_top[at] = (ranked){(int32_t)id, logits[id]};
  }
  for (; count < wanted; count++) out_top[count] = (ranked){-1, NAN};
}

static weir_status keep(run *run, int32_t token) {
  const uint32_t top = run->job->args->top;
  gemma_session *session = run->job->session;
  run->token[run->count] = token;
  if (run->top) {
    weir_status status = gemma_logits(session, run->logits);
    if (status) return status;
    rank(run->logits, session->source.config.vocabulary, top, run->top + (size_t)run->count * top);
  }
  run->count++;
  return WEIR_OK;
}

static void show(const run *run, int32_t token) {
  const gemma_args *args = run->job->args;
  const char *text;
  if (args->json) return;
  if (args->print_tokens || !run->job->tokenizer) {
    printf("%s%d", run->count > 1 ? "," : "", token);
  } else {
    size_t bytes = gemma_token_text(run->job->tokenizer, token, &text);
    fwrite(text, 1, bytes, stdout);
  }
  fflush(stdout);
}

static bool ends(const run *run, int32_t token) {
  return run->job->tokenizer && gemma_token_ends(run->job->tokenizer, token);
}

static weir_status generate(run *run) {
  gemma_session *session = run->job->session;
  int32_t token;
  double start = gemma_seconds();
  weir_status status = gemma_prefill(session, run->prompt, run->prompt_count, &token);
  run->prefill_seconds = gemma_seconds() - start;
  start = gemma_seconds();
  if (!status && run->most) status = keep(run, token);
  while (!status && run->count) {
    if (ends(run, token)) break;
    show(run, token);
    if (run->count == run->most) break;
    status = gemma_decode(session, &token);
    if (!status) status = keep(run, token);
  }
  run->decode_seconds = gemma_seconds() - start;
  return status;
}

/* ---- Output -------------------------------------------------------------- */

static double rate(uint32_t count, double seconds) { return seconds > 0 ? count / seconds : 0; }

/* The first new token is the prompt's work. */
static uint32_t decoded(const run *run) { return run->count ? run->count - 1 : 0; }

static void json_tokens(struct json *json, const run *run) {
  const uint32_t top = run->job->args->top;
  json_key(json, "tokens");
  json_array_begin(json);
  for (uint32_t i = 0; i < run->count; i++) {
    json_object_begin(json);
    json_key(json, "id");
    json_int(json, run->token[i]);
    if (run->top) {
      json_key(json, "top");
      json_array_begin(json);
      for (const ranked *at = run->top + (size_t)i * top; at < run->top + (size_t)(i + 1) * top; at++) {
        json_object_begin(json);
        json_key(json, "id");
        json_int(json, at->id);
        json_key(json, "logit");
        json_double(json, (double)at->logit);
        json_object_end(json);
      }
      json_array_end(json);
    }
    json_object_end(json);
  }
  json_array_end(json);
}

static weir_status json_text(struct json *json, const run *run) {
  size_t size = 1, used = 0;
  const char *piece;
  if (!run->job->tokenizer) return WEIR_OK;
  for (uint32_t i = 0; i < run->count; i++) size += gemma_token_text(run->job->tokenizer, run->token[i], &piece);
  char *text = malloc(size);
  if (!text) return gemma_fail(WEIR_E_NOMEM, "no memory for a text of %zu bytes", size);
  for (uint32_t i = 0; i < run->count; i++) {
    size_t bytes = gemma_token_text(run->job->tokenizer, run->token[i], &piece);
    memcpy(text + used, piece, bytes);
    used += bytes;
  }
  text[used] = '\0';
  json_key(json, "text");
  json_bytes(json, text, used);
  free(text);
  return WEIR_OK;
}

static weir_status print_json(const run *run) {
  struct json json;
  json_start(&json, stdout);
  json_object_begin(&json);
  gemma_json_session(&json, run->job->session);
  json_key(&json, "prompt_tokens");
  json_array_begin(&json);
  for (uint32_t i = 0; i < run->prompt_count; i++) json_int(&json, run->prompt[i]);
  json_array_end(&json);
  json_tokens(&json, run);
  weir_status status = json_text(&json, run);
  gemma_json_number(&json, "prefill_seconds", run->prefill_seconds);
  gemma_json_number(&json, "decode_seconds", run->decode_seconds);
  gemma_json_number(&json, "prefill_tokens_per_second", rate(run->prompt_count, run->prefill_seconds));
  gemma_json_number(&json, "decode_tokens_per_second", rate(decoded(run), run->decode_seconds));
  gemma_json_profile(&json, run->job->session);
  json_object_end(&json);
  json_finish(&json);
  return status ? status : gemma_finish_output();
}

static weir_status finish_text(const run *run) {
  putchar('\n');
  weir_status status = gemma_finish_output();
  if (status) return status;
  fprintf(stderr, "prompt: %u tokens, %.1f tok/s; text: %u tokens, %.1f tok/s\n", run->prompt_count,
          rate(run->prompt_count, run->prefill_seconds), run->count, rate(decoded(run), run->decode_seconds));
  gemma_report_profile(run->job->session);
  return WEIR_OK;
}

static void print_prompt(const run *run) {
  const gemma_args *args = run->job->args;
  if (args->json || !args->print_tokens) return;
  for (uint32_t i = 0; i < run->prompt_count; i++) printf("%s%d", i ? "," : "", run->prompt[i]);
  putchar('\n');
}

/* Everything that can be said against the prompt before the model is loaded. */
static weir_status run_open(run *run, uint32_t room) {
  const gemma_args *args = run->job->args;
  const gemma_config *config = &run->job->source.config;
  const uint32_t vocabulary = config->vocabulary;
  for (uint32_t i = 0; i < run->prompt_count; i++)
    if (run->prompt[i] < 0 || (uint32_t)run->prompt[i] >= vocabulary)
      return gemma_fail(WEIR_E_INVALID, "token %u of the prompt is %d; the vocabulary of the model has tokens 0 to %u",
                        i + 1, run->prompt[i], vocabulary - 1);
  if (run->prompt_count > room)
    return gemma_fail(WEIR_E_INVALID, "the prompt has %u tokens, and the context has room for %u; give a larger "
                      "--context%s", run->prompt_count, room,
                      room == config->context ? " to a model that was trained for one" : "");
  /* The last token is chosen, but not continued, so it needs no slot. */
  run->most = args->new_tokens < room - run->prompt_count + 1 ? args->new_tokens : room - run->prompt_count + 1;
  if (run->most < args->new_tokens)
    fprintf(stderr, "weir-gemma: the context of %u tokens leaves room for %u new ones\n", room, run->most);
  run->token = calloc(run->most + 1, sizeof *run->token);
  if (args->top > vocabulary)
    return gemma_fail(WEIR_E_INVALID, "--logits %u: the vocabulary has %u tokens", args->top, vocabulary);
  if (args->top) {
    run->top = calloc((size_t)(run->most + 1) * args->top, sizeof *run->top);
    run->logits = malloc(vocabulary * sizeof *run->logits);
  }
  if (!run->token || (args->top && (!run->top || !run->logits)))
    return gemma_fail(WEIR_E_NOMEM, "no memory for %u tokens", run->most);
  return WEIR_OK;
}

weir_status gemma_generate(gemma_job *job) {
  run run = {.job = job};
  weir_status status = tokenize_prompt(job, &run.prompt, &run.prompt_count);
  const uint32_t context = gemma_job_context(job, run.prompt_count + job->args->new_tokens);
  if (!status) status = run_open(&run, context);
  if (!status) status = gemma_job_open(job, context, 1);
  if (!status) status = gemma_job_profile(job);
  if (!status) {
    if (!job->args->json) gemma_report_plugins(job->session);
    print_prompt(&run);
    status = generate(&run);
    if (status && !job->args->json && run.count) putchar('\n'); /* ends the text before the error */
  }
  if (!status) status = job->args->json ? print_json(&run) : finish_text(&run);
  free(run.prompt);
  free(run.token);
  free(run.top);
  free(run.logits);
  return status;
}

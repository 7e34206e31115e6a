/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "generate.h"
#include "report.h"
#include "rng.h"
#include "roofline.h"

enum { RUNS = 10, DROPPED = 4 };

typedef struct samples {
  double value[RUNS];
} samples;

typedef struct result {
  samples prefill, decode; /* tokens a second of each run */
  double bytes;            /* that a decoded token reads, on average */
  double bandwidth;
} result;

static double mean(const samples *samples) {
  double sum = 0;
  for (int i = DROPPED; i < RUNS; i++) sum += samples->value[i];
  return sum / (RUNS - DROPPED);
}

static double deviation(const samples *samples) {
  double middle = mean(samples), sum = 0;
  for (int i = DROPPED; i < RUNS; i++) sum += (samples->value[i] - middle) * (samples->value[i] - middle);
  return sqrt(sum / (RUNS - DROPPED - 1));
}

/* As headline figures of others are taken: the first new token belongs to the prompt's time. */
static weir_status measure(gemma_session *session, const gemma_args *args, const int32_t *tokens, double *out_prefill,
                           double *out_decode) {
  int32_t token;
  weir_status status = gemma_rewind(session);
  double start = gemma_seconds(), middle;
  if (!status) status = gemma_prefill(session, tokens, args->bench_prompt, &token);
  middle = gemma_seconds();
  *out_prefill = args->bench_prompt / (middle - start);
  for (uint32_t i = 0; i < args->bench_new && !status; i++) status = gemma_decode(session, &token);
  *out_decode = args->bench_new / (gemma_seconds() - middle);
  return status;
}

static double bytes_per_token(const gemma_session *session, const gemma_args *args) {
  double sum = 0;
  for (uint32_t i = 0; i < args->bench_new; i++) sum += (double)gemma_step_bytes(session, args->bench_prompt + i);
  return sum / args->bench_new;
}

/* A run more, without a graph: its rates are not counted. */
static weir_status profile(gemma_job *job, const int32_t *tokens) {
  double unused[2];
  weir_status status = gemma_job_profile(job);
  if (status || !job->session->profile) return status;
  return measure(job->session, job->args, tokens, &unused[0], &unused[1]);
}

static weir_status run_all(gemma_job *job, result *out_result) {
  gemma_session *session = job->session;
  const gemma_args *args = job->args;
  const uint32_t vocabulary = session->source.config.vocabulary;
  int32_t *tokens = malloc(args->bench_prompt * sizeof *tokens);
  weir_status status = tokens ? WEIR_OK : gemma_fail(WEIR_E_NOMEM, "no memory for %u tokens", args->bench_prompt);
  struct rng rng;

  rng_seed(&rng, args->sampling.seed);
  for (uint32_t i = 0; i < args->bench_prompt && tokens; i++) tokens[i] = (int32_t)rng_below(&rng, vocabulary);
  for (int i = 0; i < RUNS && !status; i++) {
    status = measure(session, args, tokens, &out_result->prefill.value[i], &out_result->decode.value[i]);
    if (!status && !args->json)
      fprintf(stderr, "  run %2d: prefill %.1f tok/s, decode %.2f tok/s%s\n", i + 1, out_result->prefill.value[i],
              out_result->decode.value[i], i < DROPPED ? ", not counted" : "");
  }
  if (!status) status = profile(job, tokens);
  free(tokens);
  out_result->bytes = bytes_per_token(session, args);
  out_result->bandwidth = args->bandwidth * 1e9;
  if (status || out_result->bandwidth > 0) return status;
  return gemma_roofline(session, &out_result->bandwidth);
}

/* Of the time that a plain read of the same bytes would take. */
static double percent(const result *result) {
  return result->bandwidth > 0 ? 100 * mean(&result->decode) * result->bytes / result->bandwidth : 0;
}

static void print_text(const gemma_session *session, const gemma_args *args, const result *result) {
  printf("%s, %u prompt tokens, %u new tokens, mean and deviation of runs %d to %d of %d\n", session->source.config.name,
         args->bench_prompt, args->bench_new, DROPPED + 1, RUNS, RUNS);
  printf("prefill  %9.2f +- %.2f tok/s\n", mean(&result->prefill), deviation(&result->prefill));
  printf("decode   %9.2f +- %.2f tok/s, %.3f ms a token\n", mean(&result->decode), deviation(&result->decode),
         1e3 / mean(&result->decode));
  printf("bytes    %9.3f GB a token, %.0f GB/s: %.1f%% of the %.0f GB/s of a plain read\n", 1e-9 * result->bytes,
         1e-9 * result->bytes * mean(&result->decode), percent(result), 1e-9 * result->bandwidth);
}

static void json_samples(struct json *json, const char *key, const samples *samples) {
  json_key(json, key);
  json_object_begin(json);
  gemma_json_number(json, "mean", mean(samples));
  gemma_json_number(json, "deviation", deviation(samples));
  json_key(json, "runs");
  json_array_begin(json);
  for (int i = 0; i < RUNS; i++) json_double(json, samples->value[i]);
  json_array_end(json);
  json_object_end(json);
}

static weir_status print_json(const gemma_session *session, const gemma_args *args, const result *result) {
  struct json json;
  json_start(&json, stdout);
  json_object_begin(&json);
  gemma_json_session(&json, session);
  json_key(&json, "prompt_tokens");
  json_uint(&json, args->bench_prompt);
  json_key(&json, "new_tokens");
  json_uint(&json, args->bench_new);
  json_key(&json, "dropped_runs");
  json_uint(&json, DROPPED);
  json_samples(&json, "prefill_tokens_per_second", &result->prefill);
  json_samples(&json, "decode_tokens_per_second", &result->decode);
  gemma_json_number(&json, "bytes_per_token", result->bytes);
  gemma_json_number(&json, "read_bandwidth", result->bandwidth);
  gemma_json_number(&json, "percent_of_roofline", percent(result));
  gemma_json_profile(&json, session);
  json_object_end(&json);
  json_finish(&json);
  return gemma_finish_output();
}

weir_status gemma_bench(gemma_job *job) {
  const gemma_args *args = job->args;
  const uint32_t needed = args->bench_prompt + args->bench_new;
  result result = {.bytes = 0};
  double start = gemma_seconds();
  const uint32_t context = gemma_job_context(job, needed);
  if (needed > context)
    return gemma_fail(WEIR_E_INVALID, "--bench %u,%u needs a context of %u tokens, and there is room for %u; give a larger "
                      "--context%s", args->bench_prompt, args->bench_new, needed, context,
                      context == job->source.config.context ? " to a model that was trained for one" : "");
  weir_status status = gemma_job_open(job, context, 1);
  if (!status && !args->json) {
    gemma_report_plugins(job->session);
    fprintf(stderr, "  ready after %.1f s\n", gemma_seconds() - start);
  }
  if (!status) status = run_all(job, &result);
  if (status) return status;
  if (args->json) return print_json(job->session, args, &result);
  print_text(job->session, args, &result);
  gemma_report_profile(job->session);
  return gemma_finish_output();
}

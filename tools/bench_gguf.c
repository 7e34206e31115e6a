/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_model.h"
#include "bench_report.h"
#include "bench_token.h"
#include "progress.h"

enum { FEWEST_TOKENS = 5, WARM_TOKENS = 2, READ_SAMPLES = 6 };
static const double default_seconds = 4;

/* What the tokens came to: samples of each line and of the whole. */
typedef struct record {
  bench_samples *line[BENCH_SIDES], *line_ratio;
  bench_samples total[BENCH_SIDES], total_ratio;
  double *seconds[BENCH_SIDES]; /* of the lines in the latest token */
  uint32_t lines;
} record;

static weir_status record_open(uint32_t lines, record *out) {
  *out = (record){.lines = lines};
  out->line_ratio = calloc(lines, sizeof *out->line_ratio);
  if (!out->line_ratio) return BENCH_NOMEM;
  for (uint32_t s = 0; s < BENCH_SIDES; s++) {
    out->line[s] = calloc(lines, sizeof *out->line[s]);
    out->seconds[s] = calloc(lines, sizeof *out->seconds[s]);
    if (!out->line[s] || !out->seconds[s]) return BENCH_NOMEM;
  }
  return WEIR_OK;
}

static void record_close(record *record) {
  for (uint32_t s = 0; s < BENCH_SIDES; s++) {
    for (uint32_t i = 0; i < record->lines && record->line[s]; i++) bench_samples_free(&record->line[s][i]);
    free(record->line[s]);
    free(record->seconds[s]);
    bench_samples_free(&record->total[s]);
  }
  for (uint32_t i = 0; i < record->lines && record->line_ratio; i++) bench_samples_free(&record->line_ratio[i]);
  free(record->line_ratio);
  bench_samples_free(&record->total_ratio);
}

static bool record_pair(record *record, uint32_t sides, const double *total) {
  bool ok = true;
  for (uint32_t s = 0; s < sides; s++) {
    ok &= bench_samples_add(&record->total[s], total[s]);
    for (uint32_t i = 0; i < record->lines; i++) ok &= bench_samples_add(&record->line[s][i], record->seconds[s][i]);
  }
  if (sides < 2) return ok;
  for (uint32_t i = 0; i < record->lines; i++)
    ok &= bench_samples_add(&record->line_ratio[i], record->seconds[1][i] / record->seconds[0][i]);
  return ok & bench_samples_add(&record->total_ratio, total[1] / total[0]);
}

/* Tokens of the sides in turn until the time is spent; who begins alternates. */
static weir_status run_tokens(token *token, record *record) {
  bench *bench = token->bench;
  double seconds = bench->options->seconds > 0 ? bench->options->seconds : default_seconds;
  double start = bench_seconds(), budget = seconds * bench->sides, next_read = 0;
  weir_status status = WEIR_OK;

  for (uint32_t pair = 0; !status; pair++) {
    double total[BENCH_SIDES], spent = bench_seconds() - start, unused;
    if (pair >= FEWEST_TOKENS && spent >= budget) break;
    if (spent >= next_read) {
      progress_show("measuring: %u tokens in %.1f of %.1f s", pair, spent, budget);
      bench_read_sample(bench->read);
      status = token_run(token, 0, record->seconds[0], &unused); /* wakes the threads */
      next_read = bench_seconds() - start + budget / READ_SAMPLES;
    }
    for (uint32_t i = 0; i < bench->sides && !status; i++) {
      uint32_t s = pair % 2 ? bench->sides - 1 - i : i;
      status = token_run(token, s, record->seconds[s], &total[s]);
    }
    if (!status && !record_pair(record, bench->sides, total)) status = BENCH_NOMEM;
  }
  bench_read_sample(bench->read);
  return status;
}

static bench_stat scaled(bench_stat stat, double factor) {
  return (bench_stat){stat.median * factor, stat.p10 * factor, stat.p90 * factor, stat.count};
}

static void fill_report(const bench *bench, record *record, bench_report *report) {
  for (uint32_t i = 0; i < report->lines; i++) {
    bench_line *line = &report->line[i];
    for (uint32_t s = 0; s < bench->sides; s++)
      line->side[s].seconds = scaled(bench_samples_stat(&record->line[s][i]), 1.0 / line->count);
    line->ratio = bench_samples_stat(&record->line_ratio[i]);
  }
  for (uint32_t s = 0; s < bench->sides; s++) report->total[s].seconds = bench_samples_stat(&record->total[s]);
  report->total_ratio = bench_samples_stat(&record->total_ratio);
  bench_report_total(report, bench->sides, true);
}

/* Matrices of layers first, then attention, the head, and the making of
 * activations; in each, operations of one name side by side as they first came. */
static uint32_t rank(const bench_report *report, uint32_t index) {
  const char *operation = report->line[index].operation;
  uint32_t first = 0;
  while (strcmp(report->line[first].operation, operation) != 0) first++;
  if (strncmp(operation, "sdpa", 4) == 0) return report->lines + first;
  if (strcmp(operation, "lm_head") == 0) return 2 * report->lines + first;
  if (strcmp(operation, "quantize x") == 0) return 3 * report->lines + first;
  return first;
}

static weir_status sort_lines(bench_report *report) {
  bench_line *sorted = malloc(report->lines * sizeof *sorted);
  uint32_t used = 0;
  if (!sorted) return BENCH_NOMEM;
  for (uint32_t wanted = 0; wanted < 4 * report->lines; wanted++)
    for (uint32_t i = 0; i < report->lines; i++)
      if (rank(report, i) == wanted) sorted[used++] = report->line[i];
  free(report->line);
  report->line = sorted;
  report->capacity = report->lines;
  return WEIR_OK;
}

static void note_import(bench *bench, const bench_report *report) {
  uint32_t rounded = 0;
  for (uint32_t i = 0; i < report->lines; i++) {
    const bench_line *line = &report->line[i];
    if (line->import.max_abs == 0) continue;
    rounded++;
    bench_note(bench, "%s: importing %s rounds the weights, by %.3g at most, %.3g rms", line->operation, line->weights,
               line->import.max_abs, line->import.rms);
  }
  if (!rounded) bench_note(bench, "every matrix was imported exactly");
}

static bool fits(const token *token) {
  uint64_t bytes = token_packed_bytes(token), memory = token->bench->info.memory_bytes;
  if (bytes <= memory / 10 * 9) return true;
  progress_clear();
  fprintf(stderr, "weir bench: the packed weights take %.1f GB and %s has %.1f GB; a smaller model%s will do\n",
          (double)bytes / 1e9, token->bench->options->device, (double)memory / 1e9,
          token->bench->sides == 2 ? ", or no --vs," : "");
  return false;
}

int bench_run_gguf(bench *bench) {
  const char *path = bench->options->gguf;
  model model;
  token token = {.bench = NULL};
  record record = {.lines = 0};
  bench_report report = {.lines = 0};
  double started = bench_seconds(), unused;
  int result = model_open("bench", path, &model);
  weir_status status;

  if (result) goto out;
  if (model.note[0]) bench_note(bench, "%s", model.note);
  snprintf(report.title, sizeof report.title, "%.80s (%.30s, %u layers): one token at context %u",
           model.name[0] ? model.name : path, model.arch, model.layers, bench->options->context);
  status = token_plan(bench, &model, &report, &token);
  if (!status && !fits(&token)) {
    result = 1;
    goto out;
  }
  if (!status) status = token_load(&token);
  if (!status)
    bench_note(bench, "%.1f MB of weights were imported, packed and given to ref in %.1f s",
               (double)token_packed_bytes(&token) / 1e6, bench_seconds() - started);
  if (!status) status = record_open(report.lines, &record);
  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    progress_show("checking every result of one token");
    status = token_run(&token, s, record.seconds[s], &unused);
    if (!status) status = token_check(&token, s);
    for (int i = 0; i < WARM_TOKENS && !status; i++) status = token_run(&token, s, record.seconds[s], &unused);
  }
  if (!status) status = run_tokens(&token, &record);
  for (uint32_t s = 0; s < bench->sides && !status; s++) status = token_recheck(&token, s);
  if (!status) {
    fill_report(bench, &record, &report);
    note_import(bench, &report);
    status = sort_lines(&report);
  }
  progress_clear();
  result = status ? bench_failure(token.at[0] ? token.at : path, status) : bench_reports_print(bench, &report, 1);
out:
  record_close(&record);
  token_close(&token);
  bench_report_free(&report);
  model_close(&model);
  return result;
}

/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_attend.h"
#include "bench_cuda.h"
#include "bench_matvec.h"
#include "bench_measure.h"
#include "bench_report.h"
#include "bench_sdpa.h"
#include "bench_sweep.h"
#include "progress.h"
#include "shape.h"
#include "suggest.h"
#include "words.h"

enum { MOST_REPORTS = 3, SEED = 20 };
static const double default_seconds = 0.7;

typedef struct matvec_subject {
  bench_matvec matvec;
  bench_act act;
  uint32_t m;
} matvec_subject;

static weir_status call_matvec(void *object) {
  matvec_subject *subject = object;
  return bench_matvec_call(&subject->matvec, subject->act.memory, subject->m);
}

static weir_status call_quantize(void *object) {
  matvec_subject *subject = object;
  return bench_act_call(&subject->act, subject->m);
}

static double seconds_of(const bench *bench) {
  return bench->options->seconds > 0 ? bench->options->seconds : default_seconds;
}

static weir_status measure(bench *bench, weir_status (*call)(void *), void *first, void *second, bench_line *line) {
  bench_subject subjects[BENCH_SIDES] = {{call, first}, {call, second}};
  bench_stat times[BENCH_SIDES];
  weir_status status = bench_measure(bench, subjects, bench->sides, seconds_of(bench), times, &line->ratio);
  for (uint32_t s = 0; s < bench->sides && !status; s++) line->side[s].seconds = times[s];
  return status;
}

static void name_plugin(bench_result *result, const weir_plan *plan, const char *kernel) {
  snprintf(result->plugin, sizeof result->plugin, "%s", weir_plan_plugin(plan));
  snprintf(result->kernel, sizeof result->kernel, "%s", kernel);
}

/* The line for making activations of length k: one for all matrices that have that
 * k, kept aside in `acts` until the matrices are done. */
static weir_status add_act(bench *bench, matvec_subject *subjects, uint32_t count, bench_report *acts) {
  uint32_t k = subjects[0].act.k;
  char shape[48];
  bench_line *line;

  snprintf(shape, sizeof shape, "%u", k);
  for (uint32_t i = 0; i < acts->lines; i++)
    if (strcmp(acts->line[i].shape, shape) == 0) {
      acts->line[i].count += count;
      return WEIR_OK;
    }
  line = bench_report_line(acts);
  if (!line) return BENCH_NOMEM;
  strcpy(line->operation, "quantize x");
  strcpy(line->shape, shape);
  line->count = count;
  for (uint32_t s = 0; s < bench->sides; s++) name_plugin(&line->side[s], subjects[s].matvec.plan, "");
  return measure(bench, call_quantize, &subjects[0], &subjects[1], line);
}

/* Plans, packs, checks and measures one matrix. `inputs`: as model_matrix. */
static weir_status add_matvec(bench *bench, const char *name, const weir_matvec_desc *desc, uint32_t count,
                              uint32_t inputs, bench_report *report, bench_report *acts) {
  uint32_t m = desc->m_max;
  const char *op = desc->op == WEIR_OP_INT4_MATVEC ? "int4" : "int8";
  matvec_subject subjects[BENCH_SIDES] = {{.m = 0}};
  bench_weights weights = {{0}, NULL, NULL, NULL};
  bench_truth truth = {0};
  bench_line *line = bench_report_line(report);
  void *x = NULL;
  weir_status status = line ? WEIR_OK : BENCH_NOMEM;

  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    subjects[s].m = m;
    status = bench_matvec_plan(bench, &bench->side[s], desc, &subjects[s].matvec);
  }
  if (status) goto out;
  snprintf(line->operation, sizeof line->operation, "%s", name);
  snprintf(line->weights, sizeof line->weights, "%s g%u", op, desc->group);
  snprintf(line->shape, sizeof line->shape, m > 1 ? "%ux%ux%u" : "%ux%u", desc->n, desc->k, m);
  line->count = count;

  progress_show("%s %s: making weights", name, line->shape);
  x = bench_random(desc->x_type, (uint64_t)m * desc->k, SEED + desc->k);
  status = x ? bench_weights_random(desc, SEED + desc->n, &weights) : BENCH_NOMEM;
  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    matvec_subject *subject = &subjects[s];
    progress_show("%s %s: packing for %s", name, line->shape, weir_plan_plugin(subject->matvec.plan));
    status = bench_matvec_pack(&subject->matvec, &weights, bench_copies(bench, subject->matvec.info.packed_size));
    if (!status) status = bench_act_open(&subject->matvec, x, m, &subject->act);
  }
  progress_show("%s %s: computing what is right", name, line->shape);
  if (!status) status = bench_truth_matvec(bench, &weights, x, m, &truth);
  bench_weights_free(&weights);
  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    bench_result *result = &line->side[s];
    name_plugin(result, subjects[s].matvec.plan, subjects[s].matvec.info.kernel);
    result->bytes = (double)subjects[s].matvec.info.weight_bytes;
    result->checked = true;
    status = call_quantize(&subjects[s]);
    if (!status) status = call_matvec(&subjects[s]);
    if (!status) status = bench_matvec_check(&subjects[s].matvec, m, &truth, &result->error);
  }
  if (status) goto out;
  progress_show("%s %s: measuring", name, line->shape);
  status = measure(bench, call_matvec, &subjects[0], &subjects[1], line);
  for (uint32_t s = 0; s < bench->sides && !status; s++)
    status = bench_matvec_recheck(&subjects[s].matvec, m, &line->side[s].error);
  if (!status && inputs) status = add_act(bench, subjects, inputs, acts);
out:
  for (uint32_t s = 0; s < BENCH_SIDES; s++) {
    bench_act_close(&subjects[s].act);
    bench_matvec_close(&subjects[s].matvec);
  }
  bench_weights_free(&weights);
  bench_truth_free(&truth);
  free(x);
  return status;
}

static weir_matvec_desc describe(const bench *bench, weir_op op, uint32_t n, uint32_t k, uint32_t m) {
  return (weir_matvec_desc){.struct_size = sizeof(weir_matvec_desc),
                            .op = op,
                            .n = n,
                            .k = k,
                            .m_max = m,
                            .group = bench->options->group,
                            .scale_type = WEIR_F16,
                            .x_type = bench->options->x_type,
                            .y_type = bench->options->y_type};
}

static weir_status move_lines(bench_report *from, bench_report *to) {
  for (uint32_t i = 0; i < from->lines; i++) {
    bench_line *line = bench_report_line(to);
    if (!line) return BENCH_NOMEM;
    *line = from->line[i];
  }
  bench_report_free(from);
  return WEIR_OK;
}

static weir_status run_model(bench *bench, const model_shape *model, weir_op op, bench_report *report) {
  uint32_t m = bench->options->rows, context = bench->options->context;
  bool is_cuda = bench_is_cuda(bench);
  bench_report acts = {.lines = 0};
  weir_status status = WEIR_OK;

  snprintf(report->title, sizeof report->title, "%s with %s weights, %s token at context %u", model->name,
           words_text(words_op, op), m > 1 ? "several rows a" : "one", context);
  for (size_t i = 0; i < model->matrix_count && !status; i++) {
    const model_matrix *matrix = &model->matrices[i];
    weir_matvec_desc desc = describe(bench, op, matrix->n, matrix->k, m);
    status = is_cuda ? bench_cuda_matvec(bench, matrix->name, &desc, matrix->count, matrix->inputs, report)
                     : add_matvec(bench, matrix->name, &desc, matrix->count, matrix->inputs, report, &acts);
  }
  if (!status) status = move_lines(&acts, report);
  for (size_t i = 0; i < model->attention_count && !status && m == 1; i++) {
    const model_attention *attention = &model->attentions[i];
    weir_sdpa_desc desc =
      bench_sdpa_describe(attention->q_heads, attention->kv_heads, attention->head_dim, context, attention->window,
                          bench->options->x_type, bench->options->y_type);
    status = bench_attend_model(bench, attention->name, &desc, context, attention->count, is_cuda, report);
  }
  if (!status) bench_report_total(report, bench->sides, false);
  bench_report_free(&acts);
  return status;
}

static weir_status run_matrix(bench *bench, uint32_t n, uint32_t k, uint32_t m, weir_op op, bench_report *report) {
  weir_matvec_desc desc = describe(bench, op, n, k, m);
  bench_report acts = {.lines = 0};
  weir_status status;
  if (bench_is_cuda(bench)) return bench_cuda_matvec(bench, words_text(words_op, op), &desc, 1, 1, report);
  status = add_matvec(bench, words_text(words_op, op), &desc, 1, 1, report, &acts);
  if (!status) status = move_lines(&acts, report);
  bench_report_free(&acts);
  return status;
}

static int unknown_shape(const char *text, const char *error) {
  const char *names[16], *near;
  size_t count = 0;
  while (count < model_shape_count && count < 16) {
    names[count] = model_shapes[count].name;
    count++;
  }
  near = suggest_nearest(text, names, count);
  progress_clear();
  fprintf(stderr, "weir bench: %s, and not a model either:", error);
  for (size_t i = 0; i < count; i++) fprintf(stderr, "%s %s", i ? "," : "", names[i]);
  if (near) fprintf(stderr, "; did you mean \"%s\"?", near);
  fputc('\n', stderr);
  return 2;
}

int bench_run_shape(bench *bench) {
  const bench_options *options = bench->options;
  const model_shape *model = options->shape ? model_shape_find(options->shape) : NULL;
  bench_report reports[MOST_REPORTS] = {{.lines = 0}};
  uint32_t used = 0, n = 0, k = 0, m = options->rows;
  char error[300];
  weir_status status = WEIR_OK;
  int result = 0;

  if (options->shape && !model && !shape_parse_matvec(options->shape, &n, &k, &m, error, sizeof error))
    return unknown_shape(options->shape, error);
  if (model && options->rows > 1) bench_note(bench, "attention is left out: --rows is for the matrices");
  for (weir_op op = WEIR_OP_INT4_MATVEC; op <= WEIR_OP_INT8_MATVEC && options->shape && !status; op++) {
    if (options->only_op && options->only_op != op) continue;
    if (model) {
      status = run_model(bench, model, op, &reports[used++]);
    } else {
      bench_report *report = &reports[used ? 0 : used++];
      snprintf(report->title, sizeof report->title, "%ux%u, %u row%s", n, k, m, m == 1 ? "" : "s");
      status = run_matrix(bench, n, k, m, op, report);
    }
  }
  if (options->sdpa && !status) status = bench_sweep_run(bench, &reports[used++]);
  progress_clear();
  result = status ? bench_failure(NULL, status) : bench_reports_print(bench, reports, used);
  for (uint32_t i = 0; i < used; i++) bench_report_free(&reports[i]);
  return result;
}

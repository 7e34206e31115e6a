/* SPDX-License-Identifier: MIT */
#include "bench_cuda.h"

#include <stdlib.h>
#include <string.h>

#include "bench_floor.h"
#include "bench_lap.h"
#include "bench_matvec.h"
#include "progress.h"

enum { SEED = 20, KNOWN_ROWS = 4096 };
static const double default_seconds = 0.7;
/* Above this many weights only some rows are compared with ref. */
#define LARGE_MATRIX (1ull << 28)

/* ---- What all lines share ------------------------------------------------ */

/* Calls of one lap: enough, and all copies equally often. */
static uint32_t lap_calls(const bench *bench, uint64_t bytes, uint32_t copies) {
  uint32_t wanted = bench->options->calls;
  if (!wanted) wanted = bytes >= 256u << 20 ? 24 : 96;
  return (wanted + copies - 1) / copies * copies;
}

static double seconds_of(const bench *bench) {
  double seconds = bench->options->seconds > 0 ? bench->options->seconds : default_seconds;
  return seconds * bench->sides;
}

static void name_plugin(bench_result *result, const weir_plan *plan, const char *kernel) {
  snprintf(result->plugin, sizeof result->plugin, "%s", weir_plan_plugin(plan));
  snprintf(result->kernel, sizeof result->kernel, "%s", kernel);
}

/* Says so before anything is allocated. */
static bool fits(const bench *bench, const char *what, uint64_t bytes) {
  if (bytes <= bench->info.memory_bytes / 10 * 9) return true;
  progress_clear();
  fprintf(stderr, "weir bench: %s takes %.2f GB with all copies, and %s has %.2f GB, a tenth of which is kept free; a "
          "smaller --shape%s, or less to --rotate over, will do\n", what, (double)bytes / 1e9, bench->options->device,
          (double)bench->info.memory_bytes / 1e9, bench->sides == 2 ? ", no --vs" : "");
  return false;
}

static bench_lap lap_of(weir_status (*call)(void *), void *object, uint32_t calls, bool is_plain) {
  return (bench_lap){.subject = {call, object}, .calls = calls, .is_plain = is_plain};
}

/* ---- Matrices ------------------------------------------------------------ */

typedef struct matrix {
  bench_matvec matvec;
  bench_act act;
  bench_floor floor;
  uint32_t m;
} matrix;

static weir_status call_act(void *object) {
  matrix *matrix = object;
  return bench_act_call(&matrix->act, matrix->m);
}

static weir_status call_matvec(void *object) {
  matrix *matrix = object;
  return bench_matvec_call(&matrix->matvec, matrix->act.memory, matrix->m);
}

static weir_status call_linear(void *object) {
  matrix *matrix = object;
  return bench_linear_call(&matrix->matvec, &matrix->act, matrix->m);
}

static weir_status call_floor(void *object) {
  matrix *matrix = object;
  return bench_floor_call(&matrix->floor);
}

/* What is timed of every side, in this order; `linear` of the sides first and next to
 * each other. */
static const struct {
  weir_status (*call)(void *);
  size_t result; /* a bench_stat of bench_result */
} kinds[] = {
  {call_linear, offsetof(bench_result, seconds)}, {call_floor, offsetof(bench_result, floor)},
  {call_matvec, offsetof(bench_result, alone)}, {call_act, offsetof(bench_result, act)},
  {call_linear, offsetof(bench_result, plain)}, /* only for --mode both */
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static weir_status measure(bench *bench, matrix *matrices, bench_line *line) {
  bench_mode mode = bench->options->calling;
  bench_lap laps[KINDS * BENCH_SIDES];
  uint32_t used = 0, wanted = mode == BENCH_BOTH ? KINDS : KINDS - 1;
  weir_status status = WEIR_OK;

  for (uint32_t s = 0; s < bench->sides && !status; s++)
    status = bench_matvec_poison(&matrices[s].matvec, matrices[s].m);
  for (uint32_t i = 0; i < wanted; i++)
    for (uint32_t s = 0; s < bench->sides; s++) {
      bench_matvec *matvec = &matrices[s].matvec;
      uint32_t calls = lap_calls(bench, matvec->info.packed_size, matvec->copies);
      matvec->next = 0;
      laps[used++] = lap_of(kinds[i].call, &matrices[s], calls, mode == BENCH_PLAIN || i == KINDS - 1);
    }
  if (!status) status = bench_laps_run(bench, laps, used, seconds_of(bench));
  if (!status && bench->sides == 2) status = bench_laps_ratio(&laps[0], &laps[1], &line->ratio);
  for (uint32_t i = 0; i < used && !status; i++) {
    char *result = (char *)&line->side[i % bench->sides];
    *(bench_stat *)(void *)(result + kinds[i / bench->sides].result) = bench_samples_stat(&laps[i].times);
  }
  bench_laps_close(bench, laps, used);
  return status;
}

/* One call as a host makes it, from poisoned memory, against the truth. Activations are also left quantised, for
 * the matvec that is timed alone. */
static weir_status check(matrix *matrix, const bench_truth *truth, bench_result *result) {
  weir_status status = bench_matvec_poison(&matrix->matvec, matrix->m);
  if (!status) status = call_linear(matrix);
  if (!status) status = call_act(matrix);
  result->checked = true;
  return status ? status : bench_matvec_check(&matrix->matvec, matrix->m, truth, &result->error);
}

/* What the last replay left must still be right, and the same where that is promised. */
static weir_status check_again(matrix *matrix, const bench_truth *truth, bench_result *result) {
  weir_status status = bench_matvec_recheck(&matrix->matvec, matrix->m, &result->error);
  return status ? status : bench_matvec_check(&matrix->matvec, matrix->m, truth, &result->error);
}

static weir_status find_truth(bench *bench, const bench_weights *weights, const void *x, uint32_t m,
                              bench_truth *out_truth) {
  const weir_matvec_desc *desc = &weights->desc;
  if ((uint64_t)desc->n * desc->k <= LARGE_MATRIX || desc->n <= KNOWN_ROWS)
    return bench_truth_matvec(bench, weights, x, m, out_truth);
  return bench_truth_sample(bench, weights, x, m, KNOWN_ROWS, SEED, out_truth);
}

static weir_status load(bench *bench, const char *name, const char *shape, const weir_matvec_desc *desc, const void *x,
                        matrix *matrices, bench_truth *out_truth) {
  bench_weights weights = {{0}, NULL, NULL, NULL};
  uint64_t bytes = 0;
  char what[128];
  weir_status status;

  snprintf(what, sizeof what, "%s %s", name, shape);
  for (uint32_t s = 0; s < bench->sides; s++) {
    uint64_t size = matrices[s].matvec.info.packed_size;
    bytes += size * bench_copies(bench, size);
  }
  if (!fits(bench, what, bytes)) return BENCH_SAID;
  progress_show("%s: making weights", what);
  status = bench_weights_random(desc, SEED + desc->n, &weights);
  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    matrix *matrix = &matrices[s];
    uint64_t size = matrix->matvec.info.packed_size;
    progress_show("%s: packing for %s", what, weir_plan_plugin(matrix->matvec.plan));
    status = bench_matvec_pack(&matrix->matvec, &weights, bench_copies(bench, size));
    if (!status) status = bench_act_open(&matrix->matvec, x, desc->m_max, &matrix->act);
    if (!status)
      status = bench_floor_open(bench, matrix->matvec.packed, matrix->matvec.info.weight_bytes, matrix->matvec.stride,
                                matrix->matvec.copies, &matrix->floor);
    if (size * matrix->matvec.copies < 3 * bench->info.cache_bytes && bench->options->rotate == UINT32_MAX)
      bench_note(bench, "%s: %u copies of the weights are only %.1f MB, which the L2 may hold in part", what,
                 matrix->matvec.copies, (double)(size * matrix->matvec.copies) / 1e6);
  }
  progress_show("%s: computing what is right", what);
  if (!status) status = find_truth(bench, &weights, x, desc->m_max, out_truth);
  if (!status && out_truth->column)
    bench_note(bench, "%s: %u of its rows were compared with ref, and the others are finite", what, KNOWN_ROWS);
  bench_weights_free(&weights);
  return status;
}

weir_status bench_cuda_matvec(bench *bench, const char *name, const weir_matvec_desc *desc, uint32_t count,
                              uint32_t inputs, bench_report *report) {
  uint32_t m = desc->m_max;
  matrix matrices[BENCH_SIDES] = {{.m = 0}};
  bench_truth truth = {0};
  bench_line *line = bench_report_line(report);
  void *x = NULL;
  weir_status status = line ? WEIR_OK : BENCH_NOMEM;

  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    matrices[s].m = m;
    status = bench_matvec_plan(bench, &bench->side[s], desc, &matrices[s].matvec);
  }
  if (status) goto out;
  snprintf(line->operation, sizeof line->operation, "%s", name);
  snprintf(line->weights, sizeof line->weights, "%s g%u", desc->op == WEIR_OP_INT4_MATVEC ? "int4" : "int8",
           desc->group);
  snprintf(line->shape, sizeof line->shape, m > 1 ? "%ux%ux%u" : "%ux%u", desc->n, desc->k, m);
  line->count = count;
  line->inputs = inputs;
  x = bench_random(desc->x_type, (uint64_t)m * desc->k, SEED + desc->k);
  status = x ? load(bench, name, line->shape, desc, x, matrices, &truth) : BENCH_NOMEM;
  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    name_plugin(&line->side[s], matrices[s].matvec.plan, matrices[s].matvec.info.kernel);
    line->side[s].bytes = (double)matrices[s].matvec.info.weight_bytes;
    status = check(&matrices[s], &truth, &line->side[s]);
  }
  progress_show("%s %s: measuring", name, line->shape);
  if (!status) status = measure(bench, matrices, line);
  for (uint32_t s = 0; s < bench->sides && !status; s++) status = check_again(&matrices[s], &truth, &line->side[s]);
out:
  for (uint32_t s = 0; s < BENCH_SIDES; s++) {
    bench_floor_close(&matrices[s].floor);
    bench_act_close(&matrices[s].act);
    bench_matvec_close(&matrices[s].matvec);
  }
  bench_truth_free(&truth);
  free(x);
  return status;
}

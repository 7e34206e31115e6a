/* SPDX-License-Identifier: MIT */
#include "bench_cuda.h"

#include <stdlib.h>
#include <string.h>

#include "bench_floor.h"
#include "bench_lap.h"
#include "bench_sdpa.h"
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

static weir_status call_both(void *object) {
  weir_status status = call_act(object);
  return status ? status : call_matvec(object);
}

static weir_status call_floor(void *object) {
  matrix *matrix = object;
  return bench_floor_call(&matrix->floor);
}

/* What is timed of every side, in this order; `both` of the sides first and next to
 * each other. */
static const struct {
  weir_status (*call)(void *);
  size_t result; /* a bench_stat of bench_result */
} kinds[] = {
  {call_both, offsetof(bench_result, seconds)}, {call_floor, offsetof(bench_result, floor)},
  {call_matvec, offsetof(bench_result, alone)}, {call_act, offsetof(bench_result, act)},
  {call_both, offsetof(bench_result, plain)}, /* only for --mode both */
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

/* One call as a host makes it, from poisoned memory, against the truth. */
static weir_status check(matrix *matrix, const bench_truth *truth, bench_result *result) {
  weir_status status = bench_matvec_poison(&matrix->matvec, matrix->m);
  if (!status) status = call_both(matrix);
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
    if (!status) status = bench_floor_open(bench, &matrix->matvec, &matrix->floor);
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
  matrix matrices[BENCH_SIDES] = {{.m = m}, {.m = m}};
  bench_truth truth = {0};
  bench_line *line = bench_report_line(report);
  void *x = NULL;
  weir_status status = line ? WEIR_OK : BENCH_NOMEM;

  for (uint32_t s = 0; s < bench->sides && !status; s++)
    status = bench_matvec_plan(bench, &bench->side[s], desc, &matrices[s].matvec);
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

/* ---- Attention ----------------------------------------------------------- */

typedef struct attention {
  bench_sdpa sdpa;
  bench_cache *cache;
} attention;

static weir_status call_sdpa(void *object) {
  attention *attention = object;
  return bench_sdpa_call(&attention->sdpa, attention->cache);
}

static weir_status measure_sdpa(bench *bench, attention *attentions, bench_cache *cache, bench_line *line) {
  bench_mode mode = bench->options->calling;
  bench_lap laps[2 * BENCH_SIDES];
  uint32_t used = 0, calls = lap_calls(bench, attentions[0].sdpa.bytes, cache->copies);
  weir_status status;

  cache->next = 0;
  for (int i = 0; i < (mode == BENCH_BOTH ? 2 : 1); i++)
    for (uint32_t s = 0; s < bench->sides; s++)
      laps[used++] = lap_of(call_sdpa, &attentions[s], calls, i == 1 || mode == BENCH_PLAIN);
  status = bench_laps_run(bench, laps, used, seconds_of(bench));
  if (!status && bench->sides == 2) status = bench_laps_ratio(&laps[0], &laps[1], &line->ratio);
  for (uint32_t i = 0; i < used && !status; i++) {
    bench_result *result = &line->side[i % bench->sides];
    *(i < bench->sides ? &result->seconds : &result->plain) = bench_samples_stat(&laps[i].times);
  }
  bench_laps_close(bench, laps, used);
  return status;
}

weir_status bench_cuda_sdpa(bench *bench, const char *name, const weir_sdpa_desc *desc, uint32_t kv_len, uint32_t count,
                            bool may_skip, bench_report *report) {
  attention attentions[BENCH_SIDES] = {{.cache = NULL}, {.cache = NULL}};
  bench_cache cache = {0};
  bench_line *line = NULL;
  uint32_t copies;
  void *q = bench_random(desc->q_type, (uint64_t)desc->q_heads * desc->head_dim, SEED);
  weir_status status = q ? WEIR_OK : BENCH_NOMEM;

  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    status = bench_sdpa_open(bench, &bench->side[s], desc, kv_len, q, &attentions[s].sdpa);
    attentions[s].cache = &cache;
    if (status == WEIR_E_UNSUPPORTED && may_skip) {
      bench_note(bench, "%s is left out: %s", name, weir_last_error());
      status = WEIR_OK;
      goto out;
    }
  }
  if (status) goto out;
  line = bench_report_line(report);
  copies = bench_copies(bench, attentions[0].sdpa.bytes);
  if (!line) status = BENCH_NOMEM;
  else if (!fits(bench, name, (uint64_t)copies * attentions[0].sdpa.bytes)) status = BENCH_SAID;
  if (status) goto out;
  snprintf(line->operation, sizeof line->operation, "%s", name);
  snprintf(line->shape, sizeof line->shape, "%u:%u:%u:%u", desc->q_heads, desc->kv_heads, desc->head_dim, kv_len);
  if (desc->window && desc->window < kv_len)
    snprintf(line->weights, sizeof line->weights, "window %u", desc->window);
  line->count = line->inputs = count;
  line->is_attention = true;
  progress_show("%s %s: making K and V", name, line->shape);
  status = bench_cache_open(bench, desc, copies, SEED, &cache);
  for (uint32_t s = 0; s < bench->sides && !status; s++) {
    bench_result *result = &line->side[s];
    name_plugin(result, attentions[s].sdpa.plan, attentions[s].sdpa.info.kernel);
    result->bytes = (double)attentions[s].sdpa.bytes;
    result->checked = true;
    status = call_sdpa(&attentions[s]);
    if (!status) status = bench_sdpa_check(bench, &attentions[s].sdpa, &cache, q, &result->error);
  }
  progress_show("%s %s: measuring", name, line->shape);
  if (!status) status = measure_sdpa(bench, attentions, &cache, line);
out:
  for (uint32_t s = 0; s < BENCH_SIDES; s++) bench_sdpa_close(&attentions[s].sdpa);
  bench_cache_close(&cache);
  free(q);
  return status;
}

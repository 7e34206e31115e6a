/* SPDX-License-Identifier: MIT */
#include "bench_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_attend.h"
#include "bench_sdpa.h"
#include "progress.h"
#include "shape.h"
#include "words.h"

enum { MOST_SHAPES = 64, MOST_LENGTHS = 256, MOST_CANDIDATES = 256 };
static const char default_lengths[] = "64..131072";
static const double default_seconds = 0.3;

typedef struct sweep_line {
  const sdpa_shape *shape;
  uint32_t kv_len;
  weir_sdpa_desc desc;
} sweep_line;

typedef struct sweep {
  bench *bench;
  sdpa_shape shape[MOST_SHAPES];
  sweep_line *line;
  uint32_t lines;
  bench_side side[BENCH_SIDES]; /* the columns */
  char name[BENCH_SIDES][64];   /* "" = whatever the selection takes */
  uint32_t sides, left_out;
} sweep;

/* ---- What to measure ----------------------------------------------------- */

static weir_sdpa_desc describe(const bench_options *options, const sdpa_shape *shape, uint32_t kv_len) {
  weir_sdpa_desc desc = bench_sdpa_describe(shape->q_heads, shape->kv_heads, shape->head_dim, kv_len, 0,
                                            options->x_type, options->y_type);
  desc.q_len_max = options->queries;
  if (options->x_type == WEIR_F16) desc.kv_type = WEIR_F16;
  if (options->causal) desc.flags |= WEIR_SDPA_CAUSAL;
  if (options->capacity) {
    desc.flags |= WEIR_SDPA_KV_LEN;
    desc.kv_capacity = options->capacity;
    desc.kv_len_hint = 0; /* as a host that does not know its lengths */
  }
  return desc;
}

/* Fills out_sweep's shapes and lines; false and a sentence when the texts are wrong. */
static bool parse(const bench_options *options, sweep *out_sweep, char *error, size_t size) {
  uint32_t length[MOST_LENGTHS];
  size_t shapes = shape_parse_sdpa_list(options->sdpa, out_sweep->shape, MOST_SHAPES, error, size), lengths = 0;
  uint32_t open = 0;

  if (shapes)
    lengths = shape_parse_lengths(options->kv ? options->kv : default_lengths, length, MOST_LENGTHS, error, size);
  if (!lengths) return false;
  for (size_t i = 0; i < shapes; i++) open += out_sweep->shape[i].kv_len == 0;
  if (options->kv && !open) {
    snprintf(error, size, "--sdpa %s says a KV length already; leave --kv out", options->sdpa);
    return false;
  }
  out_sweep->line = calloc(shapes * lengths, sizeof *out_sweep->line);
  if (!out_sweep->line) {
    snprintf(error, size, "out of memory");
    return false;
  }
  for (size_t i = 0; i < shapes; i++) {
    const sdpa_shape *shape = &out_sweep->shape[i];
    for (size_t j = 0; j < (shape->kv_len ? 1 : lengths); j++) {
      uint32_t kv_len = shape->kv_len ? shape->kv_len : length[j];
      if (options->capacity && kv_len > options->capacity) {
        if (!options->kv && !shape->kv_len) continue; /* of the default lengths those that fit */
        snprintf(error, size, "--capacity %u: fewer slots than the KV length %u", options->capacity, kv_len);
        return false;
      }
      out_sweep->line[out_sweep->lines++] = (sweep_line){shape, kv_len, describe(options, shape, kv_len)};
    }
  }
  if (!out_sweep->lines)
    snprintf(error, size, "--capacity %u holds none of the default lengths %s; say --kv", options->capacity,
             default_lengths);
  return out_sweep->lines > 0;
}

bool bench_sweep_understand(const bench_options *options, char *error, size_t error_size) {
  sweep sweep = {.lines = 0};
  bool ok;
  if (!options->sdpa && (options->kv || options->capacity || options->causal || options->queries != 1)) {
    snprintf(error, error_size, "--%s goes with --sdpa",
             options->kv ? "kv" : options->capacity ? "capacity" : options->causal ? "causal" : "queries");
    return false;
  }
  if (options->queries == 0 || options->queries > INT32_MAX || options->capacity > INT32_MAX) {
    snprintf(error, error_size, "--%s %u: a number from 1 to 2147483647 is wanted",
             options->capacity > INT32_MAX ? "capacity" : "queries",
             options->capacity > INT32_MAX ? options->capacity : options->queries);
    return false;
  }
  if (!options->sdpa) return true;
  ok = parse(options, &sweep, error, error_size);
  free(sweep.line);
  return ok;
}

/* ---- Who does it --------------------------------------------------------- */

/* What weir explain shows under the selection of the environment. */
static weir_status explain(const sweep *sweep, const weir_sdpa_desc *desc, weir_candidate *out_candidates,
                           uint32_t *out_count) {
  bench *bench = sweep->bench;
  weir_status status = weir_select(bench->runtime, bench->environment);
  for (uint32_t i = 0; i < MOST_CANDIDATES; i++) out_candidates[i].struct_size = sizeof out_candidates[i];
  *out_count = 0;
  if (!status) status = weir_explain_sdpa(bench->device, desc, out_candidates, MOST_CANDIDATES, out_count);
  if (*out_count > MOST_CANDIDATES) *out_count = MOST_CANDIDATES;
  return status == WEIR_E_UNSUPPORTED ? WEIR_OK : status;
}

static void add_column(sweep *sweep, const char *name) {
  bench_side *side = &sweep->side[sweep->sides];
  for (uint32_t s = 0; s < sweep->sides; s++)
    if (strcmp(sweep->name[s], name) == 0) return;
  if (sweep->sides == BENCH_SIDES) {
    sweep->left_out++;
    return;
  }
  snprintf(side->forced, sizeof side->forced, "sdpa=%s", name);
  side->selection = side->forced;
  snprintf(sweep->name[sweep->sides++], sizeof sweep->name[0], "%s", name);
}

/* The plugins named by options; else all that serve some line, `ref` only where it is
 * what the selection takes. */
static weir_status choose_columns(sweep *sweep, weir_candidate *candidates) {
  const bench_options *options = sweep->bench->options;
  weir_status status = WEIR_OK;

  if (options->plugin || options->vs) {
    sweep->sides = sweep->bench->sides;
    for (uint32_t s = 0; s < sweep->sides; s++) {
      const char *name = s ? options->vs : options->plugin;
      sweep->side[s] = sweep->bench->side[s];
      if (name && strstr(sweep->bench->side[s].selection, "sdpa=")) snprintf(sweep->name[s], 64, "%s", name);
    }
    return WEIR_OK;
  }
  for (uint32_t i = 0; i < sweep->lines && !status; i++) {
    uint32_t count;
    status = explain(sweep, &sweep->line[i].desc, candidates, &count);
    for (uint32_t c = 0; c < count && !status; c++)
      if (candidates[c].state == WEIR_CANDIDATE_CHOSEN ||
          (candidates[c].state == WEIR_CANDIDATE_ELIGIBLE && strcmp(candidates[c].plugin, "ref") != 0))
        add_column(sweep, candidates[c].plugin);
  }
  if (sweep->left_out)
    bench_note(sweep->bench, "%u more plugins serve; --plugin and --vs measure them", sweep->left_out);
  return status;
}

/* Fills the line's `chosen`, `refused` and names; notes a reason once for each shape. */
static weir_status ask(sweep *sweep, const sweep_line *at, weir_candidate *candidates, uint32_t *noted,
                       bench_line *line, uint32_t *out_served) {
  uint32_t count;
  weir_status status = explain(sweep, &at->desc, candidates, &count);

  *out_served = sweep->sides;
  for (uint32_t s = 0; s < sweep->sides; s++)
    snprintf(line->side[s].plugin, sizeof line->side[s].plugin, "%s", sweep->name[s]);
  for (uint32_t c = 0; c < count && !status; c++) {
    const weir_candidate *candidate = &candidates[c];
    if (candidate->state == WEIR_CANDIDATE_CHOSEN)
      snprintf(line->chosen, sizeof line->chosen, "%s", candidate->plugin);
    for (uint32_t s = 0; s < sweep->sides; s++) {
      if (strcmp(sweep->name[s], candidate->plugin) != 0 || candidate->score > 0) continue;
      line->side[s].refused = true;
      --*out_served;
      if (!(*noted & 1u << s))
        bench_note(sweep->bench, "%s does not do %s at %u: %s", candidate->plugin, at->shape->name, at->kv_len,
                   candidate->reason);
      *noted |= 1u << s;
    }
  }
  return status;
}

/* ---- Measuring ----------------------------------------------------------- */

static void title(const bench_options *options, bench_report *report) {
  const char *type = words_text(words_type, options->x_type == WEIR_F16 ? WEIR_F16 : WEIR_BF16);
  char queries[48] = "one query", slots[64] = "";
  if (options->queries > 1) snprintf(queries, sizeof queries, "%u queries", options->queries);
  if (options->capacity)
    snprintf(slots, sizeof slots, ", a buffer of %u slots and kv_len in device memory", options->capacity);
  snprintf(report->title, sizeof report->title, "attention of %s%s, %s K and V%s", queries,
           options->causal ? ", causal" : "", type, slots);
}

static weir_status run_line(sweep *sweep, const sweep_line *at, const bench_kv *kv, bench_line *line) {
  bench *bench = sweep->bench;
  bench_attention attention = {.name = at->shape->name,
                               .desc = &at->desc,
                               .kv_len = at->kv_len,
                               .side = sweep->side,
                               .sides = sweep->sides,
                               .kv = kv,
                               .seconds = bench->options->seconds > 0 ? bench->options->seconds : default_seconds};
  return bench_attend(bench, &attention, line);
}

/* Why nothing was measured, as a program would be told. */
static weir_status nothing_served(sweep *sweep) {
  const bench_side *side = sweep->sides ? &sweep->side[0] : &sweep->bench->side[0];
  weir_plan *plan = NULL;
  weir_status status = bench_plan_sdpa(sweep->bench, side, &sweep->line[0].desc, &plan);
  weir_plan_free(plan);
  return status ? status : WEIR_E_INTERNAL;
}

weir_status bench_sweep_run(bench *bench, bench_report *report) {
  static weir_candidate candidates[MOST_CANDIDATES];
  sweep *sweep = calloc(1, sizeof *sweep);
  bench_kv kv = {.period = 0};
  uint64_t bytes = 0;
  uint32_t noted = 0, measured = 0, sampled = 0;
  char error[400];
  weir_status status;

  if (!sweep) return BENCH_NOMEM;
  sweep->bench = bench;
  status = parse(bench->options, sweep, error, sizeof error) ? WEIR_OK : BENCH_NOMEM;
  if (!status) status = choose_columns(sweep, candidates);
  if (!status && !sweep->sides) status = nothing_served(sweep);
  if (status) goto out;
  title(bench->options, report);
  report->is_attention = true;
  report->sides = sweep->sides;
  for (uint32_t i = 0; i < sweep->lines; i++) {
    uint64_t total = bench_kv_lay(bench, &sweep->line[i].desc, sweep->line[i].kv_len).total;
    if (total > bytes) bytes = total;
  }
  for (uint32_t i = 0; i < sweep->lines && !status; i++) {
    const sweep_line *at = &sweep->line[i];
    bench_line *line = bench_report_line(report);
    uint32_t served = 0;
    if (!line) status = BENCH_NOMEM;
    if (i == 0 || at->shape != at[-1].shape) noted = 0;
    if (!status) status = ask(sweep, at, candidates, &noted, line, &served);
    if (!status && !served) {
      report->lines--;
      continue;
    }
    if (!status && !kv.memory) status = bench_attend_memory(bench, "--sdpa", at->desc.kv_type, bytes, &kv);
    if (!status) status = run_line(sweep, at, &kv, line);
    if (status) break;
    line->count = line->inputs = 1;
    measured++;
    sampled += line->is_sampled;
  }
  if (!status && !measured) status = nothing_served(sweep);
  if (sampled)
    bench_note(bench, "on %u of the %u lines some heads and queries were compared with ref, the first and the last "
               "among them, and the others are finite", sampled, measured);
out:
  bench_kv_close(&kv);
  free(sweep->line);
  free(sweep);
  return status;
}

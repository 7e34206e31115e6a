/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_cells.h"
#include "bench_sweep.h"

typedef struct look {
  const bench *bench;
  const bench_report *report;
  uint32_t sides;
  bool has_capacity, has_queries, has_plain, has_ratio;
  bool has_default; /* on some line the default selection takes a plugin without a column */
  bool is_named[BENCH_SIDES]; /* one plugin all the way down */
} look;

const bench_result *bench_sweep_best(const bench_line *line, uint32_t sides) {
  const bench_result *best = NULL;
  for (uint32_t s = 0; s < sides; s++) {
    const bench_result *result = &line->side[s];
    if (result->seconds.median > 0 && (!best || result->seconds.median < best->seconds.median)) best = result;
  }
  return best;
}

static const char *column_name(const look *look, uint32_t s) {
  return look->is_named[s] ? look->report->line[0].side[s].plugin : "default";
}

static look see(const bench *bench, const bench_report *report) {
  const bench_options *options = bench->options;
  look look = {.bench = bench,
               .report = report,
               .sides = bench_report_sides(bench, report),
               .has_capacity = options->capacity > 0,
               .has_queries = options->queries > 1,
               .has_plain = bench_is_cuda(bench) && options->calling == BENCH_BOTH,
               .has_ratio = options->vs != NULL};
  for (uint32_t s = 0; s < look.sides; s++) {
    look.is_named[s] = true;
    for (uint32_t i = 1; i < report->lines; i++)
      look.is_named[s] &= strcmp(report->line[i].side[s].plugin, report->line[0].side[s].plugin) == 0;
  }
  for (uint32_t i = 0; i < report->lines; i++) {
    bool has_column = report->line[i].chosen[0] == '\0';
    for (uint32_t s = 0; s < look.sides; s++)
      has_column |= look.is_named[s] && strcmp(report->line[i].side[s].plugin, report->line[i].chosen) == 0;
    look.has_default |= !has_column;
  }
  return look;
}

/* A time, with the mark of the plugin that the default selection takes. */
static void cell_side(table *rows, const bench_line *line, const bench_result *result, double seconds) {
  const char *mark = strcmp(result->plugin, line->chosen) == 0 ? "*" : " ";
  if (result->refused || !(seconds > 0)) table_cell(rows, "- ");
  else table_cell(rows, "%.2f%s", 1e6 * seconds, mark);
}

/* The worst of the sides. */
static void cell_error(table *rows, const bench_line *line, uint32_t sides) {
  double worst = 0;
  bool ok = true;
  for (uint32_t s = 0; s < sides; s++) {
    const bench_result *result = &line->side[s];
    if (result->refused) continue;
    ok &= bench_result_ok(result);
    worst = fmax(worst, result->error.worst);
  }
  if (isfinite(worst)) table_cell(rows, "%.2f%s", worst, ok ? "" : " WRONG");
  else table_cell(rows, "not finite WRONG");
}

static double floor_seconds(const bench *bench, const bench_result *best) {
  double read = bench_is_cuda(bench) ? 0 : bench_read_best(bench->read);
  return read > 0 ? best->bytes / read : best->floor.median;
}

static void row(table *rows, const look *look, const bench_line *line) {
  const bench_result *best = bench_sweep_best(line, look->sides);
  double seconds = best ? best->seconds.median : 0, least = best ? floor_seconds(look->bench, best) : 0;

  table_cell(rows, "%s", line->operation);
  table_cell(rows, "%u", line->kv_len);
  if (look->has_capacity) table_cell(rows, "%u", line->capacity);
  for (uint32_t s = 0; s < look->sides; s++) cell_side(rows, line, &line->side[s], line->side[s].seconds.median);
  for (uint32_t s = 0; s < look->sides && look->has_plain; s++)
    cell_side(rows, line, &line->side[s], line->side[s].plain.median);
  if (look->has_ratio) cell_ratio(rows, look->bench, &line->ratio, 1);
  if (least > 0) {
    table_cell(rows, "%.2f", 1e6 * least);
    table_cell(rows, "%.3f", seconds / least);
  } else {
    table_cell(rows, "-");
    table_cell(rows, "-");
  }
  if (seconds > 0) table_cell(rows, "%.0f", best->bytes / seconds / 1e9);
  else table_cell(rows, "-");
  if (look->has_queries) {
    if (seconds > 0) table_cell(rows, "%.3g", line->flops / seconds / 1e12);
    else table_cell(rows, "-");
  }
  cell_error(rows, line, look->sides);
  if (look->has_default) table_cell(rows, "%s", line->chosen[0] ? line->chosen : "none");
}

void bench_sweep_print(const bench *bench, const bench_report *report) {
  look look = see(bench, report);
  bool is_plain = bench_is_cuda(bench) && bench->options->calling == BENCH_PLAIN;
  const char *headings[2 * BENCH_SIDES + 12] = {"attention", ">kv"};
  char text[2 * BENCH_SIDES][80];
  size_t columns = 2, used = 0;
  table *rows;

  if (look.has_capacity) headings[columns++] = ">slots";
  for (int i = 0; i < (look.has_plain ? 2 : 1); i++)
    for (uint32_t s = 0; s < look.sides; s++) {
      snprintf(text[used], sizeof text[used], ">%s%s us ", column_name(&look, s), i || is_plain ? " plain" : "");
      headings[columns++] = text[used++];
    }
  if (look.has_ratio) headings[columns++] = "ratio";
  headings[columns++] = ">floor us";
  headings[columns++] = ">x floor";
  headings[columns++] = ">GB/s";
  if (look.has_queries) headings[columns++] = ">TFLOP/s";
  headings[columns++] = ">err";
  if (look.has_default) headings[columns++] = "default";
  rows = table_new(headings, columns);
  for (uint32_t i = 0; i < report->lines; i++) {
    if (i && strcmp(report->line[i].operation, report->line[i - 1].operation) != 0) table_rule(rows);
    row(rows, &look, &report->line[i]);
  }
  printf("\n%s\n\n", report->title);
  table_print(rows, stdout);
  table_free(rows);
}

void bench_sweep_print_legend(const bench *bench) {
  bool is_cuda = bench_is_cuda(bench);
  printf("\nus: median of one call%s.  *: what the default selection takes (weir explain sdpa says why).\n"
         "floor us: %s.\nx floor, GB/s%s: of the fastest.  err: largest distance of any from ref, in units of its "
         "bound\n(1 is the limit).\n",
         !is_cuda ? "" : bench->options->calling == BENCH_PLAIN ? ", enqueued call by call, by events"
                                                                : " in a replayed graph of many calls, by events",
         is_cuda ? "a plain read of as many bytes of the same copies, taken in turn with it"
                 : "the same bytes at the read bandwidth above",
         bench->options->queries > 1 ? ", TFLOP/s" : "");
  if (is_cuda && bench->options->calling == BENCH_BOTH)
    puts("plain us: the same, enqueued call by call instead of replayed.");
}

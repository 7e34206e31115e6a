/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "bench_cells.h"

static void cell_time(table *rows, double seconds) {
  if (seconds > 0) table_cell(rows, "%.2f", 1e6 * seconds);
  else table_cell(rows, "-");
}

static void cell_between(table *rows, const bench_stat *seconds) {
  if (seconds->count) table_cell(rows, "%.2f..%.2f", 1e6 * seconds->p10, 1e6 * seconds->p90);
  else table_cell(rows, "%s", "");
}

static void cell_empty(table *rows) {
  table_cell(rows, "%s", "");
}

/* GB/s, the floor and how many times that it took, for `seconds` of this result. */
static void cells_floor(table *rows, const bench_result *result, double seconds) {
  if (seconds > 0 && result->bytes > 0) table_cell(rows, "%.0f", result->bytes / seconds / 1e9);
  else table_cell(rows, "-");
  cell_time(rows, result->floor.median);
  if (result->floor.median > 0) table_cell(rows, "%.3f", seconds / result->floor.median);
  else table_cell(rows, "-");
}

static void row(table *rows, const bench *bench, const bench_report *report, const bench_line *line, uint32_t s) {
  const bench_result *result = &line->side[s];
  table_cell(rows, "%s", s ? "" : line->operation);
  table_cell(rows, "%s", s ? "" : line->weights);
  table_cell(rows, "%s", s ? "" : line->shape);
  if (report->has_total) {
    if (s) cell_empty(rows);
    else table_cell(rows, "%u", line->count);
  }
  table_cell(rows, "%s", result->plugin);
  cell_time(rows, result->seconds.median);
  cell_between(rows, &result->seconds);
  cells_floor(rows, result, result->seconds.median);
  cell_time(rows, result->alone.median);
  cell_time(rows, result->act.median);
  if (bench->options->calling == BENCH_BOTH) cell_time(rows, result->plain.median);
  cells_error(rows, result);
  cell_ratio(rows, bench, &line->ratio, s);
}

/* With one quantisation a matvec, or one for all that read the same x. */
static void total_row(table *rows, const bench *bench, const bench_report *report, uint32_t s, bool is_shared) {
  const bench_result *total = &report->total[s];
  double seconds = is_shared ? total->shared : total->seconds.median;
  uint32_t matvecs, inputs, attentions;
  bench_stat ratio = report->total_ratio;

  bench_report_calls(report, &matvecs, &inputs, &attentions);
  if (is_shared && report->total[0].shared > 0) ratio.median = report->total[1].shared / report->total[0].shared;
  if (s) table_cell(rows, "%s", "");
  else if (attentions) table_cell(rows, "%u matvecs, %u quantisations, %u attentions", matvecs,
                                  is_shared ? inputs : matvecs, attentions);
  else table_cell(rows, "%u matvecs, %u quantisations", matvecs, is_shared ? inputs : matvecs);
  cell_empty(rows);
  cell_empty(rows);
  cell_empty(rows);
  table_cell(rows, "%s", total->plugin);
  cell_time(rows, seconds);
  cell_empty(rows);
  cells_floor(rows, total, seconds);
  cell_empty(rows);
  cell_empty(rows);
  if (bench->options->calling == BENCH_BOTH) {
    if (is_shared) cell_empty(rows);
    else cell_time(rows, total->plain.median);
  }
  cells_error(rows, total);
  cell_ratio(rows, bench, &ratio, s);
}

void bench_cuda_print(const bench *bench, const bench_report *report) {
  const char *headings[16] = {"operation", "weights", "shape"};
  size_t columns = 3;
  table *rows;

  if (report->has_total) headings[columns++] = ">count";
  headings[columns++] = "plugin";
  headings[columns++] = bench->options->calling == BENCH_PLAIN ? ">plain us" : ">us";
  headings[columns++] = ">p10..p90";
  headings[columns++] = ">GB/s";
  headings[columns++] = ">floor us";
  headings[columns++] = ">x floor";
  headings[columns++] = ">matvec us";
  headings[columns++] = ">quantize us";
  if (bench->options->calling == BENCH_BOTH) headings[columns++] = ">plain us";
  headings[columns++] = ">err";
  headings[columns++] = ">dB";
  if (bench->sides == 2) headings[columns++] = "ratio";
  rows = table_new(headings, columns);

  for (uint32_t i = 0; i < report->lines; i++)
    for (uint32_t s = 0; s < bench->sides; s++) row(rows, bench, report, &report->line[i], s);
  if (report->has_total) {
    table_rule(rows);
    for (int is_shared = 0; is_shared < 2; is_shared++)
      for (uint32_t s = 0; s < bench->sides; s++) total_row(rows, bench, report, s, is_shared);
  }
  printf("\n%s\n\n", report->title);
  table_print(rows, stdout);
  table_free(rows);
  for (uint32_t s = 0; s < bench->sides && report->has_total; s++)
    printf("%s%s: %.1f tokens/s at most from these medians, added up; %.2f GB read a token\n", s ? "" : "\n",
           report->total[s].plugin, 1 / report->total[s].seconds.median, report->total[s].bytes / 1e9);
}

void bench_cuda_print_legend(const bench *bench) {
  bool is_plain = bench->options->calling == BENCH_PLAIN;
  printf("\n%s: median of one call (weir_linear), the quantisation of its x included, %s, by events.\n"
         "floor us: a plain read of the same bytes from the same copies, taken in turn with it.\n"
         "matvec us, quantize us: each alone.  err: largest distance from ref, in units of its bound (1 is the\n"
         "limit).  dB: signal to noise against activations that are not quantised.\n",
         is_plain ? "plain us" : "us", is_plain ? "enqueued call by call" : "in a replayed graph of many calls");
  if (bench->options->calling == BENCH_BOTH) puts("plain us: the same, enqueued call by call instead of replayed.");
}

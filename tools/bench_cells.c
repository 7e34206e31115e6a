/* SPDX-License-Identifier: MIT */
#include "bench_cells.h"

#include <math.h>

bool bench_result_ok(const bench_result *result) {
  return !result->checked || bench_error_ok(&result->error);
}

double bench_result_rate(const bench_result *result) {
  return result->seconds.median > 0 ? result->bytes / result->seconds.median : 0;
}

void cell_us(table *rows, double seconds) {
  table_cell(rows, "%.1f", 1e6 * seconds);
}

void cell_spread(table *rows, const bench_stat *seconds) {
  if (seconds->count) table_cell(rows, "%.1f..%.1f", 1e6 * seconds->p10, 1e6 * seconds->p90);
  else table_cell(rows, "%s", "");
}

void cells_error(table *rows, const bench_result *result) {
  double snr = bench_error_snr(&result->error);
  if (!result->checked) {
    table_cell(rows, "-");
    table_cell(rows, "-");
    return;
  }
  if (isfinite(result->error.worst))
    table_cell(rows, "%.2f%s", result->error.worst, bench_result_ok(result) ? "" : " WRONG");
  else table_cell(rows, "not finite WRONG");
  if (isfinite(snr)) table_cell(rows, "%.1f", snr);
  else table_cell(rows, "%s", snr > 0 ? "inf" : "-inf");
}

void cell_ratio(table *rows, const bench *bench, const bench_stat *ratio, uint32_t side) {
  if (bench->sides < 2) return;
  if (side == 0) table_cell(rows, "%s", "");
  else if (!ratio->count) table_cell(rows, "%.3gx", ratio->median);
  else if (ratio->median >= 10) table_cell(rows, "%.1fx %.1f..%.1f", ratio->median, ratio->p10, ratio->p90);
  else table_cell(rows, "%.3fx %.3f..%.3f", ratio->median, ratio->p10, ratio->p90);
}

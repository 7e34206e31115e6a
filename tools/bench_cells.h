/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CELLS_H
#define BENCH_CELLS_H

#include "bench_report.h"
#include "table.h"

/* Cells that the tables of all devices share. */
bool bench_result_ok(const bench_result *result);
double bench_result_rate(const bench_result *result); /* bytes a second */
void cell_us(table *rows, double seconds);
void cell_spread(table *rows, const bench_stat *seconds);
void cells_error(table *rows, const bench_result *result);
/* Only where there are two sides. */
void cell_ratio(table *rows, const bench *bench, const bench_stat *ratio, uint32_t side);

/* The table of a report of a CUDA device, and what its columns say. */
void bench_cuda_print(const bench *bench, const bench_report *report);
void bench_cuda_print_legend(const bench *bench);

#endif

/* SPDX-License-Identifier: MIT */

/* --sdpa: attention of several shapes over several KV lengths, one line each, the
 * plugins side by side. */
#ifndef BENCH_SWEEP_H
#define BENCH_SWEEP_H

#include "bench_report.h"

/* Are --sdpa and the options that go with it well formed? Else false and a sentence. */
bool bench_sweep_understand(const bench_options *options, char *error, size_t error_size);
/* Measures all of it; the options have been understood. */
weir_status bench_sweep_run(bench *bench, bench_report *report);

/* The table of such a report, and what its columns say. */
void bench_sweep_print(const bench *bench, const bench_report *report);
void bench_sweep_print_legend(const bench *bench);
/* The line's fastest side; null when none served. */
const bench_result *bench_sweep_best(const bench_line *line, uint32_t sides);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench.h"

/* Something that can be called again and again. */
typedef struct bench_subject {
  weir_status (*call)(void *object);
  void *object;
} bench_subject;

/* Times `count` (1 or 2) subjects in alternating batches for about `seconds` each,
 * with samples of the read bandwidth before, between and after. Times are seconds
 * a call. *out_ratio: time of the second over that of the first, pair by pair. */
weir_status bench_measure(bench *bench, const bench_subject *subjects, uint32_t count, double seconds,
                          bench_stat *out_times, bench_stat *out_ratio);

#endif

/* SPDX-License-Identifier: MIT */

/* Times on a device with streams: events around many calls, made from a graph or one
 * by one. */
#ifndef BENCH_LAP_H
#define BENCH_LAP_H

#include "bench.h"
#include "bench_measure.h"

/* So many calls of one thing. Things that rotate over copies go round whole times in a
 * lap, so that every lap is the same, and stand at their first copy before the first. */
typedef struct bench_lap {
  bench_subject subject;
  uint32_t calls;
  bool is_plain;     /* calls are made one by one, not from a graph */
  weir_graph *graph; /* of one lap */
  uint32_t laps;     /* between two events */
  bench_samples times; /* seconds a call, one sample a round */
} bench_lap;

/* Captures, warms up, and times all laps in turn, round after round and there and
 * back, for about `seconds`. */
weir_status bench_laps_run(bench *bench, bench_lap *laps, uint32_t count, double seconds);
/* How sample by sample the second compares with the first, as ratios. */
weir_status bench_laps_ratio(const bench_lap *first, const bench_lap *second, bench_stat *out_ratio);
void bench_laps_close(bench *bench, bench_lap *laps, uint32_t count);

#endif

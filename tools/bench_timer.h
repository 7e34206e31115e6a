/* SPDX-License-Identifier: MIT */
#ifndef BENCH_TIMER_H
#define BENCH_TIMER_H

#include <stdbool.h>
#include <weir/weir.h>

/* Seconds of the monotonic clock. */
double bench_seconds(void);

/* How elapsed time is taken on a kind of device where a call has ended when it
 * returns. For devices with streams see bench_lap.h. */
typedef struct bench_timer {
  weir_device_kind kind;
  /* The time at this point of the work enqueued so far, as seconds. */
  double (*stamp)(weir_device *device);
} bench_timer;

/* Null for a kind of device whose time this version cannot take. */
const bench_timer *bench_timer_for(weir_device_kind kind);

/* What repeated measurements of one thing came to. */
typedef struct bench_stat {
  double median, p10, p90;
  uint32_t count;
} bench_stat;

typedef struct bench_samples {
  double *value;
  uint32_t count, capacity;
} bench_samples;

/* False when memory ran out. */
bool bench_samples_add(bench_samples *samples, double value);
/* Sorts the samples; all 0 when there are none. */
bench_stat bench_samples_stat(bench_samples *samples);
void bench_samples_free(bench_samples *samples);

#endif

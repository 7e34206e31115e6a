/* SPDX-License-Identifier: MIT */
#include "bench_timer.h"

#include <stdlib.h>
#include <time.h>

double bench_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double cpu_stamp(weir_device *device) {
  (void)device; /* a call on the CPU has ended when it returns */
  return bench_seconds();
}

static const bench_timer timers[] = {
  {.kind = WEIR_DEVICE_CPU, .stamp = cpu_stamp},
};

const bench_timer *bench_timer_for(weir_device_kind kind) {
  for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++)
    if (timers[i].kind == kind) return &timers[i];
  return NULL;
}

bool bench_samples_add(bench_samples *samples, double value) {
  if (samples->count == samples->capacity) {
    uint32_t capacity = samples->capacity ? 2 * samples->capacity : 64;
    double *grown = realloc(samples->value, capacity * sizeof *grown);
    if (!grown) return false;
    samples->value = grown;
    samples->capacity = capacity;
  }
  samples->value[samples->count++] = value;
  return true;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Linear between the neighbours of position `part` of the sorted values. */
static double quantile(const bench_samples *samples, double part) {
  double at = part * (samples->count - 1);
  uint32_t below = (uint32_t)at;
  double weight = at - below;
  if (below + 1 >= samples->count) return samples->value[samples->count - 1];
  return samples->value[below] * (1 - weight) + samples->value[below + 1] * weight;
}

bench_stat bench_samples_stat(bench_samples *samples) {
  if (samples->count == 0) return (bench_stat){0};
  qsort(samples->value, samples->count, sizeof *samples->value, compare);
  return (bench_stat){.median = quantile(samples, 0.5),
                      .p10 = quantile(samples, 0.1),
                      .p90 = quantile(samples, 0.9),
                      .count = samples->count};
}

void bench_samples_free(bench_samples *samples) {
  free(samples->value);
  *samples = (bench_samples){0};
}

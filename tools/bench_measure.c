/* SPDX-License-Identifier: MIT */
#include "bench_measure.h"

enum { FEWEST_PAIRS = 7, WARM_CALLS = 2 };
/* Long enough for the clock and the waking of threads to vanish in it. */
static const double batch_seconds = 0.003;

static weir_status run_batch(const bench *bench, const bench_subject *subject, uint32_t calls, double *out_seconds) {
  weir_status status = WEIR_OK;
  double start = bench->timer->stamp(bench->device);
  for (uint32_t i = 0; i < calls && !status; i++) status = subject->call(subject->object);
  *out_seconds = bench->timer->stamp(bench->device) - start;
  return status;
}

/* How many calls make a batch. Doubling also warms up. */
static weir_status calibrate(const bench *bench, const bench_subject *subject, uint32_t *out_calls) {
  double seconds;
  weir_status status = run_batch(bench, subject, WARM_CALLS, &seconds);
  for (*out_calls = 1; !status; *out_calls *= 2) {
    status = run_batch(bench, subject, *out_calls, &seconds);
    if (seconds >= batch_seconds || *out_calls > 1u << 24) break;
  }
  return status;
}

weir_status bench_measure(bench *bench, const bench_subject *subjects, uint32_t count, double seconds,
                          bench_stat *out_times, bench_stat *out_ratio) {
  bench_samples times[BENCH_SIDES] = {{0}}, ratios = {0};
  uint32_t calls[BENCH_SIDES] = {0};
  double start, spent;
  bool halfway = false;
  weir_status status = WEIR_OK;

  bench_read_sample(bench->read);
  for (uint32_t s = 0; s < count && !status; s++) status = calibrate(bench, &subjects[s], &calls[s]);
  start = bench_seconds();
  for (uint32_t pair = 0; !status; pair++) {
    double took[BENCH_SIDES] = {0}, unused;
    spent = bench_seconds() - start;
    if (pair >= FEWEST_PAIRS && spent >= seconds * count) break;
    if (!halfway && spent >= seconds * count / 2) {
      halfway = true;
      bench_read_sample(bench->read);
      status = run_batch(bench, &subjects[0], 1, &unused); /* wakes the threads */
    }
    for (uint32_t i = 0; i < count && !status; i++) {
      uint32_t s = pair % 2 ? count - 1 - i : i;
      status = run_batch(bench, &subjects[s], calls[s], &took[s]);
      took[s] /= calls[s];
      if (!status && !bench_samples_add(&times[s], took[s])) status = BENCH_NOMEM;
    }
    if (!status && count == 2 && !bench_samples_add(&ratios, took[1] / took[0])) status = BENCH_NOMEM;
  }
  bench_read_sample(bench->read);
  for (uint32_t s = 0; s < count; s++) out_times[s] = bench_samples_stat(&times[s]);
  *out_ratio = bench_samples_stat(&ratios);
  for (uint32_t s = 0; s < count; s++) bench_samples_free(&times[s]);
  bench_samples_free(&ratios);
  return status;
}

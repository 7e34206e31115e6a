/* SPDX-License-Identifier: MIT */
#include "bench_lap.h"

enum { FEWEST_ROUNDS = 15, WARM_LAPS = 3, MOST_LAPS = 256 };
/* Long enough for the events, and the gaps between replays of a graph, to vanish in it. */
static const double sample_seconds = 0.001;

static weir_status make_calls(const bench_lap *lap) {
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < lap->calls && !status; i++) status = lap->subject.call(lap->subject.object);
  return status;
}

static weir_status capture(bench *bench, bench_lap *lap) {
  weir_graph *unfinished = NULL;
  weir_status status = weir_capture_begin(bench->device, bench->stream);
  if (status) return status;
  status = make_calls(lap);
  if (!status) return weir_capture_end(bench->device, bench->stream, &lap->graph);
  if (status != BENCH_NOMEM) bench_keep_error();
  if (weir_capture_end(bench->device, bench->stream, &unfinished) == WEIR_OK) weir_graph_destroy(unfinished);
  return status;
}

static weir_status enqueue(bench *bench, const bench_lap *lap, uint32_t laps) {
  weir_status status = WEIR_OK;
  for (uint32_t i = 0; i < laps && !status; i++)
    status = lap->is_plain ? make_calls(lap) : weir_graph_launch(lap->graph, bench->stream);
  return status;
}

/* The lap in front is not timed: it keeps the device busy until the rest is enqueued,
 * and leaves the caches as laps of this kind leave them. */
static weir_status time_laps(bench *bench, const bench_lap *lap, uint32_t laps, double *out_seconds) {
  float milliseconds = 0;
  weir_status status = enqueue(bench, lap, 1);
  if (!status) status = weir_event_record(bench->begin, bench->stream);
  if (!status) status = enqueue(bench, lap, laps);
  if (!status) status = weir_event_record(bench->end, bench->stream);
  if (!status) status = weir_event_elapsed(bench->begin, bench->end, &milliseconds);
  *out_seconds = 1e-3 * (double)milliseconds / ((double)laps * lap->calls);
  return status;
}

static weir_status prepare(bench *bench, bench_lap *lap) {
  double seconds = 0, wanted;
  weir_status status = lap->is_plain ? WEIR_OK : capture(bench, lap);
  if (!status) status = enqueue(bench, lap, WARM_LAPS);
  if (!status) status = time_laps(bench, lap, 1, &seconds);
  wanted = seconds > 0 ? sample_seconds / (seconds * lap->calls) + 1 : MOST_LAPS;
  lap->laps = wanted < MOST_LAPS ? (uint32_t)wanted : MOST_LAPS;
  return status;
}

weir_status bench_laps_run(bench *bench, bench_lap *laps, uint32_t count, double seconds) {
  weir_status status = WEIR_OK;
  double start;

  for (uint32_t i = 0; i < count && !status; i++) status = prepare(bench, &laps[i]);
  start = bench_seconds();
  for (uint32_t round = 0; !status; round++) {
    if (round >= FEWEST_ROUNDS && bench_seconds() - start >= seconds) break;
    for (uint32_t i = 0; i < count && !status; i++) {
      bench_lap *lap = &laps[round % 2 ? count - 1 - i : i];
      double took = 0;
      status = time_laps(bench, lap, lap->laps, &took);
      if (!status && !bench_samples_add(&lap->times, took)) status = BENCH_NOMEM;
    }
  }
  return status;
}

weir_status bench_laps_ratio(const bench_lap *first, const bench_lap *second, bench_stat *out_ratio) {
  bench_samples ratios = {0};
  bool has_memory = true;
  *out_ratio = (bench_stat){0};
  for (uint32_t i = 0; i < first->times.count && i < second->times.count && has_memory; i++)
    if (first->times.value[i] > 0)
      has_memory = bench_samples_add(&ratios, second->times.value[i] / first->times.value[i]);
  if (has_memory) *out_ratio = bench_samples_stat(&ratios);
  bench_samples_free(&ratios);
  return has_memory ? WEIR_OK : BENCH_NOMEM;
}

void bench_laps_close(bench *bench, bench_lap *laps, uint32_t count) {
  weir_synchronize(bench->device, bench->stream); /* a lap that failed may have left calls behind */
  for (uint32_t i = 0; i < count; i++) {
    weir_graph_destroy(laps[i].graph);
    bench_samples_free(&laps[i].times);
    laps[i] = (bench_lap){.laps = 0};
  }
}

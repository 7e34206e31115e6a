/* SPDX-License-Identifier: MIT */
#include "bench_attend.h"

#include <stdlib.h>
#include <string.h>

#include "bench_floor.h"
#include "bench_lap.h"
#include "bench_sample.h"
#include "bench_sdpa.h"
#include "conform_case.h"
#include "number.h"
#include "progress.h"

enum { SEED = 20, MOST_CALLS = 96 };
static const double default_seconds = 0.7;
static const double lap_seconds = 0.02; /* a lap takes no longer, if the copies let it */

typedef struct subject {
  bench_sdpa sdpa;
  const bench_kv *kv;
  const bench_kv_layout *layout;
  uint32_t next;
  void *first;    /* the result that was checked, in host memory */
  double seconds; /* of one call, roughly */
} subject;

static weir_status call(void *object) {
  subject *subject = object;
  const char *k = subject->kv->memory + bench_kv_at(subject->layout, subject->next);
  subject->next = subject->next + 1 < subject->layout->copies ? subject->next + 1 : 0;
  return bench_sdpa_call_at(&subject->sdpa, k, k + subject->layout->tensor);
}

static weir_status call_floor(void *object) {
  return bench_floor_call(object);
}

/* ---- Checking ------------------------------------------------------------ */

/* Makes every result NaN, so that one that is not written shows. */
static weir_status poison(const subject *subject) {
  const bench_sdpa *sdpa = &subject->sdpa;
  return weir_memory_fill(sdpa->device, sdpa->o, 0xff, bench_sdpa_result_size(sdpa), sdpa->stream);
}

/* The latest result, which must be of the first copy. */
static weir_status compare(subject *subject, const bench_sample *sample, bench_result *result) {
  const bench_sdpa *sdpa = &subject->sdpa;
  uint64_t bytes = bench_sdpa_result_size(sdpa);
  void *o = malloc(bytes);
  weir_status status = o ? weir_memory_download(sdpa->device, o, sdpa->o, bytes, sdpa->stream) : BENCH_NOMEM;
  if (!status) status = weir_synchronize(sdpa->device, sdpa->stream);
  if (!status) status = bench_sample_compare(sample, o, &result->error);
  result->checked = true;
  if (!status && subject->first && sdpa->info.properties & WEIR_DETERMINISTIC)
    result->error.unequal |= memcmp(o, subject->first, bytes) != 0;
  if (!subject->first) subject->first = o;
  else free(o);
  return status;
}

/* One call as a host makes it, from poisoned memory; and how long another takes. */
static weir_status check(bench *bench, subject *subject, const bench_sample *sample, bench_result *result) {
  weir_status status = poison(subject);
  double start;
  subject->next = 0;
  if (!status) status = call(subject);
  if (!status) status = compare(subject, sample, result);
  start = bench_seconds();
  if (!status) status = call(subject);
  if (!status) status = weir_synchronize(bench->device, bench->stream);
  subject->seconds = bench_seconds() - start;
  return status;
}

/* ---- Measuring ----------------------------------------------------------- */

/* Calls of one lap: enough, and all copies equally often. */
static uint32_t lap_calls(const bench *bench, double seconds, uint32_t copies) {
  uint32_t wanted = bench->options->calls;
  double most = seconds > 0 ? lap_seconds / seconds : MOST_CALLS;
  if (!wanted) wanted = most < 1 ? 1 : most < MOST_CALLS ? (uint32_t)most : MOST_CALLS;
  return (wanted + copies - 1) / copies * copies;
}

/* So that the last call of a lap is on the first copy, whose result is known. */
static uint32_t second_copy(const bench_kv_layout *layout) {
  return layout->copies > 1 ? 1 : 0;
}

static weir_status measure_cuda(bench *bench, const bench_attention *attention, subject *subjects, bench_floor *floor,
                                bench_line *line) {
  bench_mode mode = bench->options->calling;
  bench_lap laps[2 * BENCH_SIDES + 1];
  bench_stat *stats[2 * BENCH_SIDES + 1], floor_stat;
  uint32_t used = 0, copies = floor->copies, served = 0;
  double guess = (double)floor->bytes / 1e12;
  weir_status status;

  for (int i = 0; i < (mode == BENCH_BOTH ? 2 : 1); i++) {
    for (uint32_t s = 0; s < attention->sides; s++) {
      if (line->side[s].refused) continue;
      stats[used] = i ? &line->side[s].plain : &line->side[s].seconds;
      laps[used++] = (bench_lap){.subject = {call, &subjects[s]},
                                 .calls = lap_calls(bench, subjects[s].seconds, copies),
                                 .is_plain = i == 1 || mode == BENCH_PLAIN};
    }
    if (i) break;
    served = used;
    stats[used] = &floor_stat;
    laps[used++] = (bench_lap){
      .subject = {call_floor, floor}, .calls = lap_calls(bench, guess, copies), .is_plain = mode == BENCH_PLAIN};
  }
  status = bench_laps_run(bench, laps, used, attention->seconds * attention->sides);
  if (!status && served == 2) status = bench_laps_ratio(&laps[0], &laps[1], &line->ratio);
  for (uint32_t i = 0; i < used && !status; i++) *stats[i] = bench_samples_stat(&laps[i].times);
  for (uint32_t s = 0; s < attention->sides && !status; s++) line->side[s].floor = floor_stat;
  bench_laps_close(bench, laps, used);
  return status;
}

static weir_status measure_cpu(bench *bench, const bench_attention *attention, subject *subjects, bench_line *line) {
  bench_subject wanted[BENCH_SIDES];
  bench_stat times[BENCH_SIDES];
  uint32_t used = 0;
  weir_status status;
  for (uint32_t s = 0; s < attention->sides; s++)
    if (!line->side[s].refused) wanted[used++] = (bench_subject){call, &subjects[s]};
  status = bench_measure(bench, wanted, used, attention->seconds, times, &line->ratio);
  used = 0;
  for (uint32_t s = 0; s < attention->sides && !status; s++)
    if (!line->side[s].refused) line->side[s].seconds = times[used++];
  return status;
}

/* Batches on the CPU end anywhere, so that the first copy is called once more. */
static weir_status measure(bench *bench, const bench_attention *attention, subject *subjects, bench_floor *floor,
                           bench_line *line) {
  bool is_cuda = bench_is_cuda(bench);
  weir_status status = WEIR_OK;
  for (uint32_t s = 0; s < attention->sides && !status; s++) {
    if (line->side[s].refused) continue;
    subjects[s].next = second_copy(subjects[s].layout);
    status = poison(&subjects[s]);
  }
  if (!status)
    status = is_cuda ? measure_cuda(bench, attention, subjects, floor, line)
                     : measure_cpu(bench, attention, subjects, line);
  for (uint32_t s = 0; s < attention->sides && !status && !is_cuda; s++) {
    subjects[s].next = 0;
    if (!line->side[s].refused) status = call(&subjects[s]);
  }
  return status;
}

/* ---- One line ------------------------------------------------------------ */

weir_status bench_attend_memory(bench *bench, const char *what, weir_type type, uint64_t bytes, bench_kv *out_kv) {
  bool is_cuda = bench_is_cuda(bench);
  uint64_t most = is_cuda ? bench->info.memory_bytes / 10 * 9 : bench->info.memory_bytes / 2;
  if (bytes <= most) return bench_kv_open(bench, type, bytes, out_kv);
  progress_clear();
  fprintf(stderr, "weir bench: K and V of %s take %.2f GB with all copies, and of the %.2f GB of %s %s; a smaller "
          "--kv or --capacity%s will do\n", what, (double)bytes / 1e9, (double)bench->info.memory_bytes / 1e9,
          bench->options->device, is_cuda ? "a tenth is kept free" : "half is kept free",
          is_cuda ? ", or less to --rotate over," : "");
  return BENCH_SAID;
}

static double pairs(const weir_sdpa_desc *desc, uint32_t kv_len) {
  double sum = 0;
  for (uint32_t i = 0; i < desc->q_len_max; i++) {
    uint32_t attended = bench_attended(desc, kv_len, i);
    sum += desc->window && desc->window < attended ? desc->window : attended;
  }
  return sum;
}

static void describe(const bench_attention *attention, bench_line *line) {
  const weir_sdpa_desc *desc = attention->desc;
  snprintf(line->operation, sizeof line->operation, "%s", attention->name);
  snprintf(line->shape, sizeof line->shape, "%u:%u:%u:%u", desc->q_heads, desc->kv_heads, desc->head_dim,
           attention->kv_len);
  if (desc->window && desc->window < attention->kv_len)
    snprintf(line->weights, sizeof line->weights, "window %u", desc->window);
  line->is_attention = true;
  line->kv_len = attention->kv_len;
  line->capacity = desc->kv_capacity;
  line->queries = desc->q_len_max;
  line->is_causal = (desc->flags & WEIR_SDPA_CAUSAL) != 0;
  line->flops = 4.0 * desc->q_heads * desc->head_dim * pairs(desc, attention->kv_len);
}

/* Truths are made when the first plugin that is held to one asks for it. */
static weir_status check_all(bench *bench, const bench_attention *attention, const void *q, subject *subjects,
                             bench_sample samples[2], bench_line *line) {
  weir_status status = WEIR_OK;
  for (uint32_t s = 0; s < attention->sides && !status; s++) {
    bench_sample *sample;
    bool strict;
    if (line->side[s].refused) continue;
    strict = conform_strict(weir_plan_plugin(subjects[s].sdpa.plan));
    sample = &samples[strict];
    progress_show("%s %s: computing what is right", attention->name, line->shape);
    if (!sample->heads)
      status = bench_sample_open(bench, attention->desc, attention->kv_len, q, subjects[s].kv, subjects[s].layout,
                                 strict, sample);
    line->is_sampled = sample->heads < attention->desc->q_heads || sample->queries < attention->desc->q_len_max;
    if (!status) status = check(bench, &subjects[s], sample, &line->side[s]);
  }
  return status;
}

weir_status bench_attend(bench *bench, const bench_attention *attention, bench_line *line) {
  const weir_sdpa_desc *desc = attention->desc;
  bench_kv_layout layout = bench_kv_lay(bench, desc, attention->kv_len);
  subject subjects[BENCH_SIDES] = {{.next = 0}};
  bench_sample samples[2] = {{.heads = 0}, {.heads = 0}};
  bench_kv own = {.period = 0};
  bench_floor floor = {.copies = 0};
  const bench_kv *kv = attention->kv ? attention->kv : &own;
  void *q = bench_random(desc->q_type, (uint64_t)desc->q_heads * desc->q_len_max * desc->head_dim, SEED);
  weir_status status = q ? WEIR_OK : BENCH_NOMEM;

  for (uint32_t s = 0; s < attention->sides && !status; s++) {
    bench_result *result = &line->side[s];
    subjects[s].kv = kv;
    subjects[s].layout = &layout;
    if (result->refused) continue;
    status = bench_sdpa_open(bench, &attention->side[s], desc, attention->kv_len, q, &subjects[s].sdpa);
    if (status) break;
    snprintf(result->plugin, sizeof result->plugin, "%s", weir_plan_plugin(subjects[s].sdpa.plan));
    snprintf(result->kernel, sizeof result->kernel, "%s", subjects[s].sdpa.info.kernel);
    result->bytes = (double)layout.read;
  }
  if (status) goto out;
  describe(attention, line);
  if (!attention->kv) status = bench_attend_memory(bench, attention->name, desc->kv_type, layout.total, &own);
  if (!status && bench_is_cuda(bench))
    status = bench_floor_open(bench, kv->memory, layout.read, layout.read, layout.copies, &floor);
  if (!status) status = check_all(bench, attention, q, subjects, samples, line);
  progress_show("%s %s: measuring", attention->name, line->shape);
  if (!status) status = measure(bench, attention, subjects, &floor, line);
  for (uint32_t s = 0; s < attention->sides && !status; s++)
    if (!line->side[s].refused)
      status = compare(&subjects[s], &samples[conform_strict(line->side[s].plugin) != 0], &line->side[s]);
out:
  for (uint32_t s = 0; s < BENCH_SIDES; s++) {
    bench_sdpa_close(&subjects[s].sdpa);
    free(subjects[s].first);
  }
  for (int i = 0; i < 2; i++) bench_sample_close(&samples[i]);
  bench_floor_close(&floor);
  bench_kv_close(&own);
  free(q);
  return status;
}

weir_status bench_attend_model(bench *bench, const char *name, const weir_sdpa_desc *desc, uint32_t kv_len,
                               uint32_t count, bool may_skip, bench_report *report) {
  bench_line line = {.count = count, .inputs = count}, *added;
  bench_attention attention = {.name = name,
                               .desc = desc,
                               .kv_len = kv_len,
                               .side = bench->side,
                               .sides = bench->sides,
                               .seconds = bench->options->seconds > 0 ? bench->options->seconds : default_seconds};
  weir_status status = bench_attend(bench, &attention, &line);

  if (status == WEIR_E_UNSUPPORTED && may_skip) {
    bench_note(bench, "%s is left out: %s", name, weir_last_error());
    return WEIR_OK;
  }
  if (status) return status;
  added = bench_report_line(report);
  if (!added) return BENCH_NOMEM;
  *added = line;
  return WEIR_OK;
}

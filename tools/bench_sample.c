/* SPDX-License-Identifier: MIT */
#include "bench_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "rng.h"

enum { SEED = 20, FEW_QUERIES = 8, MOST_QUERIES = 64 };
/* Elements of K that each thread goes through: about a third of a second. */
#define WORK_OF_A_THREAD (1ull << 24)
#define MOST_BYTES (1ull << 28) /* of K and V, unless two heads have more */

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t between(uint64_t value, uint64_t low, uint64_t high) {
  return least(value < low ? low : value, high);
}

/* `count` of 0..of-1, the first and the last among them, one from each equal part. */
static void choose(struct rng *rng, uint32_t count, uint32_t of, uint32_t *out) {
  for (uint32_t i = 0; i < count; i++) {
    uint32_t begin = (uint32_t)((uint64_t)of * i / count), end = (uint32_t)((uint64_t)of * (i + 1) / count);
    out[i] = i == 0 ? 0 : i + 1 == count ? of - 1 : begin + rng_below(rng, end - begin);
  }
}

typedef struct parts {
  uint32_t kv_heads, group, queries; /* group: query heads of each KV head */
} parts;

static parts size_of_sample(bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len) {
  weir_device_info cpu = {.struct_size = sizeof cpu};
  uint32_t group = desc->q_heads / desc->kv_heads, threads = 1;
  uint64_t pairs, heads, head_bytes = 2ull * kv_len * desc->head_dim * number_size(desc->kv_type);
  parts parts;

  if (weir_device_get(bench->cpu, &cpu) == WEIR_OK && cpu.threads) threads = cpu.threads;
  pairs = threads * WORK_OF_A_THREAD / ((uint64_t)kv_len * desc->head_dim);
  heads = between(pairs / least(desc->q_len_max, FEW_QUERIES), 2, desc->q_heads);
  parts.kv_heads = (uint32_t)between(MOST_BYTES / head_bytes, 2, least(desc->kv_heads, heads));
  parts.group = (uint32_t)between(heads / parts.kv_heads, 1, group);
  pairs /= parts.kv_heads * parts.group;
  parts.queries = (uint32_t)between(pairs, least(desc->q_len_max, 2), least(desc->q_len_max, MOST_QUERIES));
  return parts;
}

uint32_t bench_attended(const weir_sdpa_desc *desc, uint32_t kv_len, uint32_t query) {
  uint32_t later = desc->q_len_max - 1 - query;
  if (!(desc->flags & WEIR_SDPA_CAUSAL)) return kv_len;
  return kv_len > later ? kv_len - later : 0;
}

/* Heads of the sample side by side, for one query. */
static void gather(const bench_sample *sample, weir_type type, const void *from, uint32_t query, char *out) {
  uint64_t row = sample->desc.head_dim * number_size(type), queries = sample->desc.q_len_max;
  for (uint32_t i = 0; i < sample->heads; i++)
    memcpy(out + i * row, (const char *)from + (sample->head[i] * queries + query) * row, row);
}

weir_status bench_sample_open(bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len, const void *q,
                              const bench_kv *kv, const bench_kv_layout *layout, bool strict,
                              bench_sample *out_sample) {
  bench_sample *sample = out_sample;
  parts parts = size_of_sample(bench, desc, kv_len);
  uint32_t group = desc->q_heads / desc->kv_heads, *kv_head = malloc(parts.kv_heads * sizeof *kv_head);
  uint64_t size = number_size(desc->kv_type), run = (uint64_t)kv_len * desc->head_dim;
  uint64_t head = (uint64_t)desc->kv_capacity * desc->head_dim;
  char *k = malloc(parts.kv_heads * run * size), *v = malloc(parts.kv_heads * run * size), *some_q;
  weir_sdpa_desc small = *desc;
  struct rng rng;
  weir_status status = BENCH_NOMEM;

  *sample = (bench_sample){.desc = *desc, .heads = parts.kv_heads * parts.group, .queries = parts.queries};
  small.flags = 0;
  small.q_heads = sample->heads;
  small.kv_heads = parts.kv_heads;
  small.q_len_max = 1;
  small.kv_capacity = kv_len;
  small.kv_len_hint = 0;
  sample->head = malloc(sample->heads * sizeof *sample->head);
  sample->query = malloc(sample->queries * sizeof *sample->query);
  sample->truth = calloc(sample->queries, sizeof *sample->truth);
  some_q = malloc(sample->heads * desc->head_dim * number_size(desc->q_type));
  if (!kv_head || !k || !v || !some_q || !sample->head || !sample->query || !sample->truth) goto out;

  rng_seed(&rng, rng_seed_of(SEED + kv_len, "sample"));
  choose(&rng, parts.kv_heads, desc->kv_heads, kv_head);
  choose(&rng, parts.queries, desc->q_len_max, sample->query);
  for (uint32_t i = 0; i < parts.kv_heads; i++) {
    uint32_t first = parts.group < group ? rng_below(&rng, group) : 0;
    for (uint32_t j = 0; j < parts.group; j++)
      sample->head[i * parts.group + j] = kv_head[i] * group + (first + j) % group;
    bench_kv_read(kv, kv_head[i] * head, run, k + i * run * size);
    bench_kv_read(kv, layout->tensor / size + kv_head[i] * head, run, v + i * run * size);
  }
  status = WEIR_OK;
  for (uint32_t i = 0; i < sample->queries && !status; i++) {
    gather(sample, desc->q_type, q, sample->query[i], some_q);
    status = bench_truth_sdpa(bench, &small, bench_attended(desc, kv_len, sample->query[i]), some_q, k, v, strict,
                              &sample->truth[i]);
  }
out:
  free(kv_head);
  free(k);
  free(v);
  free(some_q);
  if (status) bench_sample_close(sample);
  return status;
}

weir_status bench_sample_compare(const bench_sample *sample, const void *o, bench_error *error) {
  const weir_sdpa_desc *desc = &sample->desc;
  uint64_t all = (uint64_t)desc->q_heads * desc->q_len_max * desc->head_dim;
  char *some = malloc(sample->heads * desc->head_dim * number_size(desc->o_type));
  if (!some) return BENCH_NOMEM;
  for (uint64_t i = 0; i < all; i++)
    if (!isfinite(number_load(desc->o_type, o, i))) error->worst = INFINITY;
  for (uint32_t i = 0; i < sample->queries; i++) {
    gather(sample, desc->o_type, o, sample->query[i], some);
    bench_truth_compare(&sample->truth[i], desc->o_type, some, error);
  }
  free(some);
  return WEIR_OK;
}

void bench_sample_close(bench_sample *sample) {
  for (uint32_t i = 0; i < sample->queries && sample->truth; i++) bench_truth_free(&sample->truth[i]);
  free(sample->truth);
  free(sample->head);
  free(sample->query);
  *sample = (bench_sample){.heads = 0};
}

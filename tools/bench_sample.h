/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include "bench_kv.h"
#include "bench_truth.h"

/* What some heads and queries of an attention over the first copy should be: all of
 * them where ref and the bounds can be had quickly, else the first, the last, and some
 * between. Of the others it is only looked whether they are finite. */
typedef struct bench_sample {
  weir_sdpa_desc desc;
  uint32_t *head, heads;
  uint32_t *query, queries;
  bench_truth *truth; /* of each query: [heads,D] */
} bench_sample;

/* q: [q_heads,q_len_max,D] in host memory. strict: as bench_truth_sdpa. */
weir_status bench_sample_open(bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len, const void *q,
                              const bench_kv *kv, const bench_kv_layout *layout, bool strict,
                              bench_sample *out_sample);
/* o: [q_heads,q_len_max,D] of o_type in host memory. */
weir_status bench_sample_compare(const bench_sample *sample, const void *o, bench_error *error);
void bench_sample_close(bench_sample *sample);

/* How many slots query i attends. */
uint32_t bench_attended(const weir_sdpa_desc *desc, uint32_t kv_len, uint32_t query);

#endif

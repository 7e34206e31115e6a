/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SDPA_H
#define BENCH_SDPA_H

#include "bench.h"
#include "bench_truth.h"

/* K and V of one cache size, filled once, in as many copies as there are layers or
 * as it takes to get past the caches; the data of all copies is the same. */
typedef struct bench_cache {
  weir_device *device;
  weir_stream stream;
  uint32_t kv_heads, head_dim, capacity;
  weir_type type;
  void *k, *v;              /* host memory */
  char *k_device, *v_device; /* `copies` times, `stride` bytes apart */
  uint64_t stride;
  uint32_t copies, next;
} bench_cache;

weir_status bench_cache_open(bench *bench, const weir_sdpa_desc *desc, uint32_t copies, uint64_t seed,
                             bench_cache *out_cache);
void bench_cache_close(bench_cache *cache);

/* All q_len_max queries of a descriptor against a cache, by one side's plugin. */
typedef struct bench_sdpa {
  weir_device *device;
  weir_stream stream;
  weir_plan *plan;
  weir_sdpa_desc desc;
  weir_sdpa_info info;
  uint32_t kv_len;
  uint64_t bytes; /* of K and V that one call has to read */
  void *q, *o, *workspace;
  int32_t *kv_len_device; /* with WEIR_SDPA_KV_LEN */
  uint64_t workspace_size;
} bench_sdpa;

/* A descriptor of one decode step; scale is 1/sqrt(head_dim). */
weir_sdpa_desc bench_sdpa_describe(uint32_t q_heads, uint32_t kv_heads, uint32_t head_dim, uint32_t kv_len,
                                   uint32_t window, weir_type x_type, weir_type y_type);
/* q: [q_heads,q_len_max,D] of desc->q_type in host memory. */
weir_status bench_sdpa_open(bench *bench, const bench_side *side, const weir_sdpa_desc *desc, uint32_t kv_len,
                            const void *q, bench_sdpa *out_sdpa);
weir_status bench_sdpa_call(bench_sdpa *sdpa, bench_cache *cache);
/* The same on K and V, [kv_heads,kv_capacity,D] each, in memory of the device. */
weir_status bench_sdpa_call_at(const bench_sdpa *sdpa, const void *k, const void *v);
/* Bytes of the result, [q_heads,q_len_max,D]. */
uint64_t bench_sdpa_result_size(const bench_sdpa *sdpa);
void bench_sdpa_close(bench_sdpa *sdpa);

#endif

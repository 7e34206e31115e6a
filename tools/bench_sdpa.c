/* SPDX-License-Identifier: MIT */
#include "bench_sdpa.h"

#include <math.h>
#include <stdlib.h>

#include "conform_case.h"
#include "number.h"
#include "rng.h"

enum { COPY_ALIGN = 4096 };

weir_status bench_cache_open(bench *bench, const weir_sdpa_desc *desc, uint32_t copies, uint64_t seed,
                             bench_cache *out_cache) {
  bench_cache *cache = out_cache;
  uint64_t count = (uint64_t)desc->kv_heads * desc->kv_capacity * desc->head_dim;
  uint64_t bytes = count * number_size(desc->kv_type);
  weir_status status;

  *cache = (bench_cache){.device = bench->device,
                         .stream = bench->stream,
                         .kv_heads = desc->kv_heads,
                         .head_dim = desc->head_dim,
                         .capacity = desc->kv_capacity,
                         .type = desc->kv_type,
                         .copies = copies,
                         .stride = (bytes + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN};
  cache->k = bench_random(desc->kv_type, count, rng_seed_of(seed, "k"));
  cache->v = bench_random(desc->kv_type, count, rng_seed_of(seed, "v"));
  status = cache->k && cache->v ? WEIR_OK : BENCH_NOMEM;
  if (!status) status = weir_memory_alloc(bench->device, cache->stride * copies, (void **)&cache->k_device);
  if (!status) status = weir_memory_alloc(bench->device, cache->stride * copies, (void **)&cache->v_device);
  for (uint32_t i = 0; i < copies && !status; i++) {
    status = weir_memory_upload(bench->device, cache->k_device + i * cache->stride, cache->k, bytes, bench->stream);
    if (!status)
      status = weir_memory_upload(bench->device, cache->v_device + i * cache->stride, cache->v, bytes, bench->stream);
  }
  if (!status) status = weir_synchronize(bench->device, bench->stream);
  if (status) bench_cache_close(cache);
  return status;
}

void bench_cache_close(bench_cache *cache) {
  free(cache->k);
  free(cache->v);
  weir_memory_free(cache->device, cache->k_device);
  weir_memory_free(cache->device, cache->v_device);
  *cache = (bench_cache){0};
}

weir_sdpa_desc bench_sdpa_describe(uint32_t q_heads, uint32_t kv_heads, uint32_t head_dim, uint32_t kv_len,
                                   uint32_t window, weir_type x_type, weir_type y_type) {
  return (weir_sdpa_desc){.struct_size = sizeof(weir_sdpa_desc),
                          .op = WEIR_OP_SDPA,
                          .batch = 1,
                          .q_heads = q_heads,
                          .kv_heads = kv_heads,
                          .head_dim = head_dim,
                          .q_len_max = 1,
                          .kv_capacity = kv_len,
                          .kv_len_hint = kv_len,
                          .window = window,
                          .q_type = x_type,
                          .kv_type = WEIR_BF16,
                          .o_type = y_type,
                          .scale = 1 / sqrtf((float)head_dim)};
}

weir_status bench_sdpa_open(bench *bench, const bench_side *side, const weir_sdpa_desc *desc, uint32_t kv_len,
                            const void *q, bench_sdpa *out_sdpa) {
  bench_sdpa *sdpa = out_sdpa;
  uint64_t count = (uint64_t)desc->q_heads * desc->head_dim;
  uint32_t read = desc->window && desc->window < kv_len ? desc->window : kv_len;
  weir_status status;

  *sdpa = (bench_sdpa){.device = bench->device,
                       .stream = bench->stream,
                       .desc = *desc,
                       .kv_len = kv_len,
                       .bytes = 2ull * desc->kv_heads * read * desc->head_dim * number_size(desc->kv_type),
                       .info = {.struct_size = sizeof sdpa->info}};
  status = bench_plan_sdpa(bench, side, desc, &sdpa->plan);
  if (!status) status = weir_sdpa_get(sdpa->plan, &sdpa->info);
  if (status) goto out;
  sdpa->workspace_size = weir_workspace_size(sdpa->plan, 1);
  status = bench_upload(bench->device, bench->stream, q, count * number_size(desc->q_type), &sdpa->q);
  if (!status) status = bench_zeroed(bench->device, bench->stream, sdpa->workspace_size, &sdpa->workspace);
  if (!status) status = bench_zeroed(bench->device, bench->stream, count * number_size(desc->o_type), &sdpa->o);
out:
  if (status) bench_sdpa_close(sdpa);
  return status;
}

weir_status bench_sdpa_call(bench_sdpa *sdpa, bench_cache *cache) {
  uint64_t at = cache->next * cache->stride;
  weir_sdpa_args args =
    bench_sdpa_args(&sdpa->desc, sdpa->kv_len, sdpa->q, cache->k_device + at, cache->v_device + at, sdpa->o);
  args.workspace = sdpa->workspace;
  args.workspace_size = sdpa->workspace_size;
  cache->next = cache->next + 1 < cache->copies ? cache->next + 1 : 0;
  return weir_sdpa(sdpa->plan, &args, sdpa->stream);
}

weir_status bench_sdpa_check(bench *bench, const bench_sdpa *sdpa, const bench_cache *cache, const void *q,
                             bench_error *error) {
  uint64_t bytes = (uint64_t)sdpa->desc.q_heads * sdpa->desc.head_dim * number_size(sdpa->desc.o_type);
  bool strict = conform_strict(weir_plan_plugin(sdpa->plan));
  bench_truth truth;
  void *o = malloc(bytes);
  weir_status status = o ? weir_memory_download(sdpa->device, o, sdpa->o, bytes, sdpa->stream) : BENCH_NOMEM;
  if (!status) status = weir_synchronize(sdpa->device, sdpa->stream);
  if (!status) status = bench_truth_sdpa(bench, &sdpa->desc, sdpa->kv_len, q, cache->k, cache->v, strict, &truth);
  if (!status) {
    bench_truth_compare(&truth, sdpa->desc.o_type, o, error);
    bench_truth_free(&truth);
  }
  free(o);
  return status;
}

void bench_sdpa_close(bench_sdpa *sdpa) {
  weir_memory_free(sdpa->device, sdpa->q);
  weir_memory_free(sdpa->device, sdpa->o);
  weir_memory_free(sdpa->device, sdpa->workspace);
  weir_plan_free(sdpa->plan);
  *sdpa = (bench_sdpa){0};
}

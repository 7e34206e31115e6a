/* SPDX-License-Identifier: MIT */
#include "bench_sdpa.h"

#include <math.h>
#include <stdlib.h>

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
  uint64_t count = (uint64_t)desc->q_heads * desc->q_len_max * desc->head_dim;
  int32_t length = (int32_t)kv_len;
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
  sdpa->workspace_size = weir_workspace_size(sdpa->plan, desc->q_len_max);
  status = bench_upload(bench->device, bench->stream, q, count * number_size(desc->q_type), &sdpa->q);
  if (!status) status = bench_zeroed(bench->device, bench->stream, sdpa->workspace_size, &sdpa->workspace);
  if (!status) status = bench_zeroed(bench->device, bench->stream, count * number_size(desc->o_type), &sdpa->o);
  if (!status && desc->flags & WEIR_SDPA_KV_LEN)
    status = bench_upload(bench->device, bench->stream, &length, sizeof length, (void **)&sdpa->kv_len_device);
out:
  if (status) bench_sdpa_close(sdpa);
  return status;
}

weir_status bench_sdpa_call_at(const bench_sdpa *sdpa, const void *k, const void *v) {
  weir_sdpa_args args = bench_sdpa_args(&sdpa->desc, sdpa->kv_len, sdpa->q, k, v, sdpa->o);
  args.kv_len_device = sdpa->kv_len_device;
  args.workspace = sdpa->workspace;
  args.workspace_size = sdpa->workspace_size;
  return weir_sdpa(sdpa->plan, &args, sdpa->stream);
}

weir_status bench_sdpa_call(bench_sdpa *sdpa, bench_cache *cache) {
  uint64_t at = cache->next * cache->stride;
  cache->next = cache->next + 1 < cache->copies ? cache->next + 1 : 0;
  return bench_sdpa_call_at(sdpa, cache->k_device + at, cache->v_device + at);
}

uint64_t bench_sdpa_result_size(const bench_sdpa *sdpa) {
  return (uint64_t)sdpa->desc.q_heads * sdpa->desc.q_len_max * sdpa->desc.head_dim * number_size(sdpa->desc.o_type);
}

void bench_sdpa_close(bench_sdpa *sdpa) {
  weir_memory_free(sdpa->device, sdpa->q);
  weir_memory_free(sdpa->device, sdpa->o);
  weir_memory_free(sdpa->device, sdpa->workspace);
  weir_memory_free(sdpa->device, sdpa->kv_len_device);
  weir_plan_free(sdpa->plan);
  *sdpa = (bench_sdpa){0};
}

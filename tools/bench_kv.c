/* SPDX-License-Identifier: MIT */
#include "bench_kv.h"

#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "progress.h"
#include "rng.h"

enum { PERIOD = 16777213 /* elements; odd */, ALIGN = 256, SLOTS = 128, SEED = 20 };

weir_status bench_kv_open(bench *bench, weir_type type, uint64_t bytes, bench_kv *out_kv) {
  bench_kv *kv = out_kv;
  uint64_t size = number_size(type), count = bytes / size;
  weir_status status;

  *kv = (bench_kv){.device = bench->device, .type = type, .period = count < PERIOD ? count : PERIOD};
  status = weir_memory_alloc(bench->device, bytes, (void **)&kv->memory);
  if (status) return status;
  progress_show("making K and V");
  kv->block = bench_random(type, kv->period, rng_seed_of(SEED, "k and v"));
  if (!kv->block) status = BENCH_NOMEM;
  for (uint64_t at = 0; at < count && !status; at += kv->period) {
    uint64_t part = count - at < kv->period ? count - at : kv->period;
    progress_show("loading K and V: %.2f of %.2f GB", (double)(at * size) / 1e9, (double)bytes / 1e9);
    status = weir_memory_upload(bench->device, kv->memory + at * size, kv->block, part * size, bench->stream);
  }
  if (!status) status = weir_synchronize(bench->device, bench->stream);
  if (status) bench_kv_close(kv);
  return status;
}

void bench_kv_read(const bench_kv *kv, uint64_t first, uint64_t count, void *out_host_memory) {
  uint64_t size = number_size(kv->type), at = first % kv->period;
  char *out = out_host_memory;
  while (count) {
    uint64_t part = kv->period - at < count ? kv->period - at : count;
    memcpy(out, (const char *)kv->block + at * size, part * size);
    out += part * size;
    count -= part;
    at = 0;
  }
}

void bench_kv_close(bench_kv *kv) {
  weir_memory_free(kv->device, kv->memory);
  free(kv->block);
  *kv = (bench_kv){.period = 0};
}

bench_kv_layout bench_kv_lay(const bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len) {
  uint64_t slot = desc->head_dim * number_size(desc->kv_type); /* of one head */
  uint64_t slots = ((uint64_t)kv_len + SLOTS - 1) / SLOTS * SLOTS;
  uint32_t read = desc->window && desc->window < kv_len ? desc->window : kv_len;
  bench_kv_layout layout = {.read = 2ull * desc->kv_heads * read * slot,
                            .step = slots * slot,
                            .in_buffer = slots < desc->kv_capacity ? (uint32_t)(desc->kv_capacity / slots) : 1};
  layout.tensor = (desc->kv_heads * desc->kv_capacity * slot + ALIGN - 1) / ALIGN * ALIGN;
  layout.copies = bench_copies(bench, layout.read);
  layout.total = (layout.copies + layout.in_buffer - 1) / layout.in_buffer * 2 * layout.tensor;
  return layout;
}

uint64_t bench_kv_at(const bench_kv_layout *layout, uint32_t copy) {
  return copy / layout->in_buffer * 2 * layout->tensor + copy % layout->in_buffer * layout->step;
}

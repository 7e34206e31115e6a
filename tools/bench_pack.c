/* SPDX-License-Identifier: MIT */
#include "bench_pack.h"

#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "number.h"

enum { MOST_THREADS = 16 };
#define WORTH_A_THREAD (8ull << 20) /* weights */

typedef struct slice {
  const weir_plan *plan;
  weir_matvec_source source;
  uint32_t first, end;
  void *packed;
  uint64_t size;
  weir_status status;
  pthread_t thread;
  bool started;
} slice;

static void *pack_slice(void *arg) {
  slice *slice = arg;
  slice->status = weir_pack(slice->plan, &slice->source, slice->first, slice->end, slice->packed, slice->size);
  return NULL;
}

static weir_matvec_source source_at(const weir_matvec_desc *desc, const weir_matvec_source *source, uint32_t row) {
  weir_matvec_source at = *source;
  uint64_t groups = desc->k / desc->group;
  at.codes = (const char *)source->codes + row * (uint64_t)(desc->op == WEIR_OP_INT4_MATVEC ? desc->k / 2 : desc->k);
  at.scales = (const char *)source->scales + row * groups * number_size(desc->scale_type);
  if (source->zeros) at.zeros = (const char *)source->zeros + row * groups * number_size(desc->zero_type);
  return at;
}

static uint32_t thread_count(const weir_matvec_desc *desc) {
  uint64_t count = (uint64_t)desc->n * desc->k / WORTH_A_THREAD;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  if (processors > 0 && count > (uint64_t)processors) count = (uint64_t)processors;
  if (count > MOST_THREADS) count = MOST_THREADS;
  if (count > desc->n) count = desc->n;
  return count ? (uint32_t)count : 1;
}

weir_status bench_pack(const weir_plan *plan, const weir_matvec_desc *desc, const weir_matvec_source *source,
                       void *out_packed, uint64_t packed_size) {
  slice slices[MOST_THREADS];
  uint32_t count = thread_count(desc);
  weir_status status = WEIR_OK;

  for (uint32_t i = 0; i < count; i++) {
    uint32_t first = (uint32_t)((uint64_t)desc->n * i / count), end = (uint32_t)((uint64_t)desc->n * (i + 1) / count);
    slices[i] = (slice){plan, source_at(desc, source, first), first, end, out_packed, packed_size, WEIR_OK, 0, false};
    slices[i].started = i && pthread_create(&slices[i].thread, NULL, pack_slice, &slices[i]) == 0;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (slices[i].started) pthread_join(slices[i].thread, NULL);
    /* What another thread could not do is done again here, so that its sentence is this thread's. */
    if (!slices[i].started || slices[i].status) pack_slice(&slices[i]);
    if (!status) status = slices[i].status;
  }
  return status;
}

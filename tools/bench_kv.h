/* SPDX-License-Identifier: MIT */
#ifndef BENCH_KV_H
#define BENCH_KV_H

#include "bench.h"

/* Device memory full of random numbers, in which K and V of many shapes lie. The host
 * keeps only one period of it: element i is block[i % period]. The period is odd, so
 * that no two heads, and not K and V, hold the same numbers. */
typedef struct bench_kv {
  weir_device *device;
  weir_type type;
  char *memory;
  void *block;
  uint64_t period; /* in elements */
} bench_kv;

weir_status bench_kv_open(bench *bench, weir_type type, uint64_t bytes, bench_kv *out_kv);
/* What the device holds from element `first` on. */
void bench_kv_read(const bench_kv *kv, uint64_t first, uint64_t count, void *out_host_memory);
void bench_kv_close(bench_kv *kv);

/* Where the copies lie that calls rotate over. A buffer is K, [kv_heads,kv_capacity,D],
 * with V behind it. Where most slots of a buffer are beyond kv_len, several copies share
 * it, each at other slots, so that a large capacity does not take copies of its own. */
typedef struct bench_kv_layout {
  uint64_t tensor;    /* bytes from K to V */
  uint64_t step;      /* bytes between copies of one buffer */
  uint32_t in_buffer; /* copies in one buffer */
  uint32_t copies;
  uint64_t read;  /* bytes that one call has to read */
  uint64_t total; /* bytes of all buffers */
} bench_kv_layout;

bench_kv_layout bench_kv_lay(const bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len);
/* Bytes from the start of the memory to the copy's K; its V is `tensor` further. */
uint64_t bench_kv_at(const bench_kv_layout *layout, uint32_t copy);

#endif

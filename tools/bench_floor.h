/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bench.h"

/* The yardstick on a CUDA device: a kernel that only reads what a call has to read,
 * from the same rotated copies. */
typedef struct bench_floor {
  weir_device *device;
  weir_stream stream;
  const char *memory; /* `copies` times `bytes`, `stride` bytes apart */
  uint64_t bytes, stride;
  uint32_t copies, next;
  const weir_kernel *kernel;
  uint32_t blocks;
  void *out; /* never written, in practice */
} bench_floor;

/* memory and stride: aligned to 16 bytes. */
weir_status bench_floor_open(bench *bench, const void *memory, uint64_t bytes, uint64_t stride, uint32_t copies,
                             bench_floor *out_floor);
/* Reads the next copy. */
weir_status bench_floor_call(bench_floor *floor);
void bench_floor_close(bench_floor *floor);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bench_matvec.h"

/* The yardstick on a CUDA device: a kernel that only reads what a matvec has to read,
 * from the same rotated copies. */
typedef struct bench_floor {
  const bench_matvec *matvec;
  const weir_kernel *kernel;
  uint32_t blocks, next;
  void *out; /* never written, in practice */
} bench_floor;

weir_status bench_floor_open(bench *bench, const bench_matvec *matvec, bench_floor *out_floor);
/* Reads the next copy. */
weir_status bench_floor_call(bench_floor *floor);
void bench_floor_close(bench_floor *floor);

#endif

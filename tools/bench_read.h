/* SPDX-License-Identifier: MIT */
#ifndef BENCH_READ_H
#define BENCH_READ_H

#include <weir/weir.h>

/* The read bandwidth of the CPU's memory, measured with as many threads as the
 * kernels use: what a kernel that reads its weights once can reach at best. */
typedef struct bench_read bench_read;

/* A buffer of at least 4 last-level caches, in the device's own memory. */
weir_status bench_read_open(weir_device *device, bench_read **out_read);
/* Streams the buffer in every way known; to be called again and again between
 * measurements, so that both see the same machine. */
void bench_read_sample(bench_read *read);
/* The best pass so far, in bytes a second. */
double bench_read_best(const bench_read *read);
void bench_read_close(bench_read *read);

#endif

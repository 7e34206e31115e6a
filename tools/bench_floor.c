/* SPDX-License-Identifier: MIT */
#include "bench_floor.h"

enum { THREADS = 512, BLOCKS_PER_SM = 8, WORD = 16, OUT_BYTES = 256 };

weir_status bench_floor_open(bench *bench, const void *memory, uint64_t bytes, uint64_t stride, uint32_t copies,
                             bench_floor *out_floor) {
  weir_status status;
  *out_floor = (bench_floor){.device = bench->device,
                             .stream = bench->stream,
                             .memory = memory,
                             .bytes = bytes,
                             .stride = stride,
                             .copies = copies,
                             .blocks = bench->info.sm_count * BLOCKS_PER_SM};
  if (out_floor->blocks == 0) out_floor->blocks = BLOCKS_PER_SM;
  status = weir_kernel_get(bench->device, "plain_read", "plain_read", 0, &out_floor->kernel);
  if (!status) status = bench_zeroed(bench->device, bench->stream, OUT_BYTES, &out_floor->out);
  return status;
}

weir_status bench_floor_call(bench_floor *floor) {
  const void *from = floor->memory + floor->next * floor->stride;
  uint64_t words = floor->bytes / WORD, threads = (uint64_t)floor->blocks * THREADS;
  void *out = floor->out;
  void *params[] = {&from, &words, &threads, &out};
  weir_launch launch = {
    .struct_size = sizeof launch, .grid = {floor->blocks, 1, 1}, .block = {THREADS, 1, 1}};
  floor->next = floor->next + 1 < floor->copies ? floor->next + 1 : 0;
  return weir_kernel_launch(floor->device, floor->kernel, &launch, params, floor->stream);
}

void bench_floor_close(bench_floor *floor) {
  weir_memory_free(floor->device, floor->out);
  *floor = (bench_floor){.copies = 0};
}

/* SPDX-License-Identifier: MIT */

/* What the parts of `weir bench` share. Everything here runs on one thread. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <weir/weir.h>

#include "bench_read.h"
#include "bench_timer.h"

/* How calls are made on a device that has graphs. */
typedef enum bench_mode { BENCH_GRAPH, BENCH_PLAIN, BENCH_BOTH } bench_mode;

typedef struct bench_options {
  const char *device, *plugin, *vs; /* plugin, vs: null when not given */
  const char *shape, *sdpa, *gguf;
  const char *op, *x, *y, *mode, *kv;
  uint32_t group, rows, context, threads, queries;
  uint32_t capacity; /* slots of the KV buffer of --sdpa; 0: the KV length */
  int causal;
  uint32_t calls;  /* in one graph at least; 0: by size */
  uint32_t rotate; /* MB of weights to go through; UINT32_MAX: by the cache */
  double seconds;
  int json;
  weir_op only_op;         /* of op; 0 = all */
  weir_type x_type, y_type; /* of x, y */
  bench_mode calling;       /* of mode */
} bench_options;

/* One choice of plugins; a plan is made under a side's selection. */
typedef struct bench_side {
  const char *selection; /* "" = the default */
  char forced[512];      /* holds it, where an option named a plugin */
} bench_side;

enum { BENCH_SIDES = 6 }; /* matrices have two at most, attention one for each plugin */

typedef struct bench {
  const bench_options *options;
  weir_runtime *runtime;
  weir_device *device;
  weir_device *cpu; /* where the oracle runs */
  weir_device_info info;
  const char *environment; /* the selection of WEIR_PLUGINS; "" = the default */
  bench_side side[2];      /* the selection or --plugin; and --vs */
  uint32_t sides;
  bench_side oracle; /* the plugin ref */
  const bench_timer *timer; /* of the CPU */
  bench_read *read;         /* of the CPU */
  weir_stream stream;       /* of a CUDA device; else null, and so are the events */
  weir_event *begin, *end;
  char note[4096]; /* sentences for the report, one a line */
} bench;

/* Statuses of this command's own. */
enum {
  BENCH_NOMEM = 1, /* memory ran out outside the library */
  BENCH_SAID = 2   /* what is wrong is on stderr already */
};

/* 0, or the exit status after saying on stderr what is wrong. */
int bench_open(const bench_options *options, bench *out_bench);
void bench_close(bench *bench);

/* Prints "weir bench: WHAT: " and the last error; returns the exit status. */
int bench_failure(const char *what, weir_status status);
/* Keeps this thread's last error for bench_failure, past what cleaning up may fail at. */
void bench_keep_error(void);
/* Adds one sentence to the notes of the report. */
void bench_note(bench *bench, const char *format, ...) WEIR_PRINTF(2, 3);

/* Plans under the side's selection; the oracle always on the CPU. */
weir_status bench_plan_matvec(bench *bench, const bench_side *side, const weir_matvec_desc *desc,
                              weir_plan **out_plan);
weir_status bench_plan_sdpa(bench *bench, const bench_side *side, const weir_sdpa_desc *desc, weir_plan **out_plan);

/* Copies host memory into new memory of the device; there when it returns. */
weir_status bench_upload(weir_device *device, weir_stream stream, const void *host_memory, uint64_t bytes,
                         void **out_memory);
/* Zero-filled device memory; null for 0 bytes. */
weir_status bench_zeroed(weir_device *device, weir_stream stream, uint64_t bytes, void **out_memory);
/* `count` normal random numbers as `type` in new host memory, null without memory. */
void *bench_random(weir_type type, uint64_t count, uint64_t seed);

/* How many copies of `bytes` to rotate over so that none is found in a cache. */
uint32_t bench_copies(const bench *bench, uint64_t bytes);
bool bench_is_cuda(const bench *bench);

/* --shape and --sdpa; --gguf. They measure and report; the exit status. */
int bench_run_shape(bench *bench);
int bench_run_gguf(bench *bench);

#endif

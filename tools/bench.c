/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* secure_getenv, getloadavg */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "number.h"
#include "progress.h"
#include "rng.h"
#include "words.h"

enum { CACHES_TO_EXCEED = 3, MOST_COPIES = 4096 };

int bench_failure(const char *what, weir_status status) {
  const char *sentence = status == BENCH_NOMEM ? "out of memory" : weir_last_error();
  progress_clear();
  fprintf(stderr, "weir bench: %s%s%s\n", what ? what : "", what ? ": " : "",
          sentence[0] ? sentence : weir_status_name(status));
  return status == WEIR_E_SYNTAX ? 2 : 1;
}

void bench_note(bench *bench, const char *format, ...) {
  size_t used = strlen(bench->note);
  va_list args;
  if (used && used + 1 < sizeof bench->note) {
    bench->note[used++] = '\n';
    bench->note[used] = '\0';
  }
  va_start(args, format);
  vsnprintf(bench->note + used, sizeof bench->note - used, format, args);
  va_end(args);
}

/* Forces `name` for every operation it has. A name that no plugin bears is forced
 * everywhere, so that planning fails with the sentence that names the nearest. */
static void force(bench *bench, const char *name, bench_side *out_side) {
  weir_plugin_info info = {.struct_size = sizeof info};
  uint32_t ops = 0;
  size_t used = 0;

  for (uint32_t i = 0; i < weir_plugin_count(bench->runtime); i++)
    if (weir_plugin_get(bench->runtime, i, &info) == WEIR_OK && info.status == WEIR_OK &&
        strcmp(info.name, name) == 0)
      ops |= info.ops;
  for (const word *op = words_op; op->text; op++) {
    if (ops && !(ops & (1u << op->value))) {
      bench_note(bench, "plugin %s has no %s: the default plugin serves it", name, op->text);
    } else if (used < sizeof out_side->forced) {
      used += (size_t)snprintf(out_side->forced + used, sizeof out_side->forced - used, "%s%s=%s", used ? "," : "",
                               op->text, name);
    }
  }
  out_side->selection = out_side->forced;
}

/* Times taken beside other work are of little use, and it is easily overlooked. */
static void note_load(bench *bench) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  double load;
  if (getloadavg(&load, 1) == 1 && processors > 0 && load > 0.5 * (double)processors)
    bench_note(bench, "the machine was busy (load %.1f on %ld processors) when this began: take no time from it", load,
               processors);
}

int bench_open(const bench_options *options, bench *out_bench) {
  const char *environment = secure_getenv("WEIR_PLUGINS");
  weir_options open = {.struct_size = sizeof open, .threads = options->threads};
  weir_status status;
  bench *bench = out_bench;

  memset(bench, 0, sizeof *bench);
  bench->options = options;
  bench->sides = options->vs ? 2 : 1;
  status = weir_open(&open, &bench->runtime);
  if (!status) status = weir_device_open(bench->runtime, options->device, &bench->device);
  if (!status) status = weir_device_open(bench->runtime, "cpu", &bench->cpu);
  bench->info.struct_size = sizeof bench->info;
  if (!status) status = weir_device_get(bench->device, &bench->info);
  if (status) return bench_failure(NULL, status);
  if (bench->info.flags & WEIR_DEVICE_SYNTHETIC) {
    fprintf(stderr, "weir bench: device %s is only a description: nothing can run there (weir explain can be asked)\n",
            options->device);
    return 1;
  }
  bench->timer = bench_timer_for(bench->info.kind);
  if (!bench->timer) {
    fprintf(stderr, "weir bench: device %s: this version takes times on the CPU only; use --device cpu\n",
            options->device);
    return 1;
  }
  bench->side[0].selection = environment ? environment : "";
  bench->oracle.selection = "int4_matvec=ref,int8_matvec=ref,sdpa=ref";
  if (options->plugin) force(bench, options->plugin, &bench->side[0]);
  if (options->vs) force(bench, options->vs, &bench->side[1]);
  note_load(bench);
  progress_show("preparing to measure the read bandwidth");
  status = bench_read_open(bench->device, &bench->read);
  return status ? bench_failure("the buffer for the read bandwidth", status) : 0;
}

void bench_close(bench *bench) {
  bench_read_close(bench->read);
  weir_device_close(bench->cpu);
  weir_device_close(bench->device);
  weir_close(bench->runtime);
  memset(bench, 0, sizeof *bench);
}

static weir_device *device_of(bench *bench, const bench_side *side) {
  return side == &bench->oracle ? bench->cpu : bench->device;
}

weir_status bench_plan_matvec(bench *bench, const bench_side *side, const weir_matvec_desc *desc,
                              weir_plan **out_plan) {
  weir_status status = weir_select(bench->runtime, side->selection);
  *out_plan = NULL;
  return status ? status : weir_plan_matvec(device_of(bench, side), desc, out_plan);
}

weir_status bench_plan_sdpa(bench *bench, const bench_side *side, const weir_sdpa_desc *desc, weir_plan **out_plan) {
  weir_status status = weir_select(bench->runtime, side->selection);
  *out_plan = NULL;
  return status ? status : weir_plan_sdpa(device_of(bench, side), desc, out_plan);
}

weir_status bench_upload(weir_device *device, const void *host_memory, uint64_t bytes, void **out_memory) {
  weir_status status = weir_memory_alloc(device, bytes, out_memory);
  if (status) return status;
  status = weir_memory_upload(device, *out_memory, host_memory, bytes, NULL);
  if (status) {
    weir_memory_free(device, *out_memory);
    *out_memory = NULL;
  }
  return status;
}

weir_status bench_zeroed(weir_device *device, uint64_t bytes, void **out_memory) {
  weir_status status;
  *out_memory = NULL;
  if (bytes == 0) return WEIR_OK;
  status = weir_memory_alloc(device, bytes, out_memory);
  if (status) return status;
  status = weir_memory_fill(device, *out_memory, 0, bytes, NULL);
  if (status) {
    weir_memory_free(device, *out_memory);
    *out_memory = NULL;
  }
  return status;
}

void *bench_random(weir_type type, uint64_t count, uint64_t seed) {
  void *memory = malloc(count * number_size(type) + 1);
  struct rng rng;
  if (!memory) return NULL;
  rng_seed(&rng, seed);
  for (uint64_t i = 0; i < count; i++) number_store(type, memory, i, rng_normal(&rng));
  return memory;
}

uint32_t bench_copies(const bench *bench, uint64_t bytes) {
  uint64_t wanted = CACHES_TO_EXCEED * bench->info.cache_bytes, limit = bench->info.memory_bytes / 8, copies;
  if (bytes == 0) return 1;
  copies = wanted / bytes + 1;
  if (copies * bytes > limit) copies = limit / bytes;
  if (copies > MOST_COPIES) copies = MOST_COPIES;
  return copies ? (uint32_t)copies : 1;
}

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
#include "shape.h"
#include "words.h"

enum { CACHES_TO_EXCEED = 3, MOST_COPIES = 4096, MOST_CUDA_COPIES = 2048 };
#define LEAST_CUDA_BYTES 150000000u

static char kept_error[2048]; /* this command has one thread that fails */

void bench_keep_error(void) {
  snprintf(kept_error, sizeof kept_error, "%s", weir_last_error());
}

int bench_failure(const char *what, weir_status status) {
  const char *sentence = status == BENCH_NOMEM ? "out of memory" : kept_error[0] ? kept_error : weir_last_error();
  progress_clear();
  if (status == BENCH_SAID) return 1;
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

static bool measures_attention(const bench_options *options) {
  bool is_model = options->shape && model_shape_find(options->shape);
  return options->sdpa || options->gguf || (is_model && options->rows == 1);
}

static bool measures(const bench_options *options, weir_op op) {
  return op == WEIR_OP_SDPA ? measures_attention(options) : options->shape || options->gguf;
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
    if (ops && !(ops & (1u << op->value)) && !measures(bench->options, op->value)) continue;
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

static int open_cuda(bench *bench) {
  weir_status status;
  if (bench->options->gguf) {
    fprintf(stderr, "weir bench: --gguf takes times on the CPU only; on %s use --shape, with the name of a model\n",
            bench->options->device);
    return 1;
  }
  if (bench->options->calling != BENCH_GRAPH) note_load(bench); /* plain calls wait for the host */
  status = weir_stream_create(bench->device, &bench->stream);
  if (!status) status = weir_event_create(bench->device, &bench->begin);
  if (!status) status = weir_event_create(bench->device, &bench->end);
  return status ? bench_failure("a stream and its events", status) : 0;
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
  bench->environment = bench->side[0].selection = environment ? environment : "";
  bench->oracle.selection = "int4_matvec=ref,int8_matvec=ref,sdpa=ref";
  if (options->plugin) force(bench, options->plugin, &bench->side[0]);
  if (options->vs) force(bench, options->vs, &bench->side[1]);
  if (bench_is_cuda(bench)) return open_cuda(bench);
  if (options->mode || options->calls || options->rotate != UINT32_MAX) {
    fprintf(stderr, "weir bench: --%s goes with a CUDA device; %s is a CPU\n",
            options->mode ? "mode" : options->calls ? "calls" : "rotate", options->device);
    return 1;
  }
  note_load(bench);
  bench->timer = bench_timer_for(bench->info.kind);
  progress_show("preparing to measure the read bandwidth");
  status = bench_read_open(bench->device, &bench->read);
  return status ? bench_failure("the buffer for the read bandwidth", status) : 0;
}

void bench_close(bench *bench) {
  bench_read_close(bench->read);
  weir_event_destroy(bench->begin);
  weir_event_destroy(bench->end);
  if (bench->stream) weir_stream_destroy(bench->device, bench->stream);
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

weir_status bench_upload(weir_device *device, weir_stream stream, const void *host_memory, uint64_t bytes,
                         void **out_memory) {
  weir_status status = weir_memory_alloc(device, bytes, out_memory);
  if (status) return status;
  status = weir_memory_upload(device, *out_memory, host_memory, bytes, stream);
  if (!status) status = weir_synchronize(device, stream);
  if (status) {
    weir_memory_free(device, *out_memory);
    *out_memory = NULL;
  }
  return status;
}

weir_status bench_zeroed(weir_device *device, weir_stream stream, uint64_t bytes, void **out_memory) {
  weir_status status;
  *out_memory = NULL;
  if (bytes == 0) return WEIR_OK;
  status = weir_memory_alloc(device, bytes, out_memory);
  if (status) return status;
  status = weir_memory_fill(device, *out_memory, 0, bytes, stream);
  if (!status) status = weir_synchronize(device, stream);
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
  bool is_cuda = bench_is_cuda(bench);
  uint64_t wanted = CACHES_TO_EXCEED * bench->info.cache_bytes, limit = bench->info.memory_bytes / 8, copies;
  uint32_t most = is_cuda ? MOST_CUDA_COPIES : MOST_COPIES;
  if (bytes == 0) return 1;
  if (is_cuda) {
    if (wanted < LEAST_CUDA_BYTES) wanted = LEAST_CUDA_BYTES;
    if (bench->options->rotate != UINT32_MAX) wanted = (uint64_t)bench->options->rotate * 1000000;
    limit = UINT64_MAX; /* what does not fit is an error, not another measurement */
  }
  copies = wanted / bytes + 1;
  if (copies > limit / bytes) copies = limit / bytes;
  if (copies > most) copies = most;
  return copies ? (uint32_t)copies : 1;
}

bool bench_is_cuda(const bench *bench) {
  return bench->info.kind == WEIR_DEVICE_CUDA;
}

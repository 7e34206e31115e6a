/* SPDX-License-Identifier: MIT */

/* The services that plugins get instead of symbols. */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

static const struct host_services *services(const weir_host *host) { return (const struct host_services *)host; }

static void host_log(const weir_host *host, int level, const char *format, ...) {
  va_list args;
  va_start(args, format);
  log_vline(&services(host)->runtime->log, level, services(host)->plugin, format, args);
  va_end(args);
}

static weir_status host_fail(const weir_host *host, weir_status code, const char *format, ...) {
  (void)host;
  va_list args;
  va_start(args, format);
  weir_vfail(code, format, args);
  va_end(args);
  return code;
}

static void *host_memory_alloc(const weir_host *host, size_t bytes) {
  (void)host;
  if (bytes > PTRDIFF_MAX - 63) return NULL;
  return aligned_alloc(64, bytes ? (bytes + 63) & ~(size_t)63 : 64);
}

static void host_memory_free(const weir_host *host, void *memory) {
  (void)host;
  free(memory);
}

static void host_parallel(const weir_host *host, uint32_t tasks, weir_task_fn task, void *arg) {
  pool_run(device_pool(services(host)->runtime), tasks, task, arg);
}

static uint32_t host_thread_count(const weir_host *host) { return pool_threads(device_pool(services(host)->runtime)); }

void host_services_init(struct host_services *out, weir_runtime *runtime, const char *plugin) {
  *out = (struct host_services){
      .table =
          {
              .struct_size = sizeof(weir_host),
              .abi_major = WEIR_ABI_MAJOR,
              .abi_minor = WEIR_ABI_MINOR,
              .log = host_log,
              .fail = host_fail,
              .memory_alloc = host_memory_alloc,
              .memory_free = host_memory_free,
              .parallel = host_parallel,
              .thread_count = host_thread_count,
          },
      .runtime = runtime,
      .plugin = plugin,
  };
}

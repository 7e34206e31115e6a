/* SPDX-License-Identifier: MIT */

/* The services that plugins get instead of symbols. */
#include "config.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "cuda.h"

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

/* Of the device this thread is in, else the runtime's. */
static struct pool *pool_of(const weir_host *host) {
  const weir_device *device = device_current();
  return device && device->pool ? device->pool : services(host)->runtime->pool;
}

static void host_parallel(const weir_host *host, uint32_t tasks, weir_task_fn task, void *arg) {
  pool_run(pool_of(host), tasks, task, arg);
}

static uint32_t host_thread_count(const weir_host *host) { return pool_threads(pool_of(host)); }

/* The services for plan() act on the device that the plan is for. */
static weir_status check_cuda(const char *call, const weir_device_info *info) {
  const weir_device *device = device_current();
  if (device && device->cuda && (!info || info == &device->info)) return WEIR_OK;
  return weir_fail(WEIR_E_INVALID, "%s: call it in plan(), with the CUDA device that plan() was given", call);
}

static weir_status host_kernel_get(const weir_host *host, const weir_device_info *device, const char *ptx,
                                   const char *entry, uint32_t most_shared_bytes, const weir_kernel **out_kernel) {
  *out_kernel = NULL;
  weir_status status = check_cuda("kernel_get", device);
  return status ? status : cuda_kernel_get(device_current(), services(host)->path, ptx, entry, most_shared_bytes, out_kernel);
}

static weir_status host_kernel_occupancy(const weir_host *host, const weir_kernel *kernel, uint32_t threads,
                                         uint32_t shared_bytes, uint32_t *out_blocks) {
  (void)host;
  *out_blocks = 0;
  weir_status status = check_cuda("kernel_occupancy", NULL);
  return status ? status : cuda_kernel_occupancy(kernel, threads, shared_bytes, out_blocks);
}

static weir_status host_kernel_launch(const weir_host *host, const weir_kernel *kernel, const weir_launch *launch,
                                      void *const *params, weir_stream stream) {
  (void)host;
  weir_launch known;
  weir_status status = launch_check(launch, &known);
  return status ? status : cuda_kernel_launch(kernel, &known, params, stream);
}

static void *host_cuda_symbol(const weir_host *host, const char *name) {
  const struct cuda_driver *driver = services(host)->runtime->cuda;
  return driver ? dlsym(driver->library, name) : NULL;
}

void host_services_init(struct host_services *out, weir_runtime *runtime, const char *plugin, const char *path) {
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
              .kernel_get = host_kernel_get,
              .kernel_occupancy = host_kernel_occupancy,
              .kernel_launch = host_kernel_launch,
              .cuda_symbol = host_cuda_symbol,
          },
      .runtime = runtime,
      .plugin = plugin,
      .path = path,
  };
}

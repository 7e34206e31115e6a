/* SPDX-License-Identifier: MIT */

/* PTX becomes a module once a device; kernels are found in it once each. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "cuda.h"

struct cuda_module {
  char *key; /* as asked for, with the plugin's directory before a name */
  char *name; /* for sentences */
  CUmodule module;
  bool programmatic;
  struct weir_kernel *kernels;
  struct cuda_module *next;
};

/* The number after ".target sm_". */
static uint32_t target_of(const char *text) {
  const char *target = strstr(text, ".target sm_");
  return target ? (uint32_t)strtoul(target + strlen(".target sm_"), NULL, 10) : 0;
}

static const char *version_of(const char *text, char *out, size_t size) {
  const char *version = strstr(text, ".version ");
  snprintf(out, size, "%.*s", version ? (int)strcspn(version + 9, " \t\r\n") : 1, version ? version + 9 : "?");
  return out;
}

static const char *remedy(CUresult result) {
  if (result == CUDA_ERROR_UNSUPPORTED_PTX_VERSION) return "install a newer NVIDIA driver, or PTX of a lower .version";
  if (result == CUDA_ERROR_INVALID_PTX) return "install weir's PTX files again, or generate them with make ptx";
  return "see the log above, and try WEIR_LOG=debug";
}

static weir_status load(const weir_device *device, const char *text, const char *name, const char *entry,
                        CUmodule *out_module) {
  const struct cuda_driver *driver = device->cuda->driver;
  static const size_t log_bytes = 8192;
  char *log = calloc(1, log_bytes);
  if (!log) return weir_fail(WEIR_E_NOMEM, "no memory for the driver's log");
  int options[] = {CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_BYTES};
  void *values[] = {log, (void *)(uintptr_t)log_bytes};
  CUresult result = driver->cuModuleLoadDataEx(out_module, text, COUNT_OF(options), options, values);
  weir_status status = WEIR_OK;
  if (result) {
    char version[16];
    log[log_bytes - 1] = '\0';
    status = cuda_fail(driver, result, "loading %s for %s", name, entry);
    weir_fail(status, "%s; the file is PTX %s for sm_%u, the device %s has compute capability %u.%u; the driver's log: %s; %s",
              weir_last_error(), version_of(text, version, sizeof version), target_of(text), device->info.name,
              device->info.cc / 10, device->info.cc % 10, log[0] ? log : "(empty)", remedy(result));
  }
  free(log);
  return status;
}

static void module_free(const struct cuda_device *cuda, struct cuda_module *module) {
  while (module->kernels) {
    struct weir_kernel *next = module->kernels->next;
    free(module->kernels->entry);
    free(module->kernels);
    module->kernels = next;
  }
  if (module->module) cuda->driver->cuModuleUnload(module->module);
  free(module->key);
  free(module->name);
  free(module);
}

void cuda_modules_free(struct cuda_device *cuda) {
  while (cuda->modules) {
    struct cuda_module *next = cuda->modules->next;
    module_free(cuda, cuda->modules);
    cuda->modules = next;
  }
}

/* A name means different files to plugins in different directories. */
static char *make_key(const char *plugin_path, const char *ptx) {
  struct text key = {0};
  bool name = ptx[0] != '/' && !strchr(ptx, '\n');
  const char *slash = name && plugin_path ? strrchr(plugin_path, '/') : NULL;
  text_add(&key, "%.*s|%s", slash ? (int)(slash - plugin_path) : 0, slash ? plugin_path : "", ptx);
  return key.failed ? NULL : key.data;
}

static weir_status find_module_locked(const weir_device *device, const char *plugin_path, const char *ptx,
                                      const char *entry, struct cuda_module **out_module) {
  struct cuda_device *cuda = device->cuda;
  char *key = make_key(plugin_path, ptx), *text = NULL;
  if (!key) return weir_fail(WEIR_E_NOMEM, "no memory for a PTX name");
  for (struct cuda_module *module = cuda->modules; module; module = module->next)
    if (strcmp(module->key, key) == 0) {
      free(key);
      *out_module = module;
      return WEIR_OK;
    }
  struct cuda_module *module = calloc(1, sizeof *module);
  if (!module) {
    free(key);
    return weir_fail(WEIR_E_NOMEM, "no memory for a PTX module");
  }
  module->key = key;
  weir_status status = cuda_ptx_read(device, plugin_path, ptx, &text, &module->name);
  if (!status) status = load(device, text, module->name, entry, &module->module);
  if (!status) {
    module->programmatic = target_of(text) >= 90;
    module->next = cuda->modules;
    cuda->modules = module;
    log_line(&device->runtime->log, WEIR_LOG_INFO, "cuda", "loaded %s", module->name);
    *out_module = module;
  } else {
    module_free(cuda, module);
  }
  free(text);
  return status;
}

static weir_status find_kernel_locked(const weir_device *device, struct cuda_module *module, const char *entry,
                                      struct weir_kernel **out_kernel) {
  for (struct weir_kernel *kernel = module->kernels; kernel; kernel = kernel->next)
    if (strcmp(kernel->entry, entry) == 0) {
      *out_kernel = kernel;
      return WEIR_OK;
    }
  const struct cuda_driver *driver = device->cuda->driver;
  struct weir_kernel *kernel = calloc(1, sizeof *kernel);
  if (kernel) kernel->entry = text_copy(entry, strlen(entry));
  if (!kernel || !kernel->entry) {
    free(kernel);
    return weir_fail(WEIR_E_NOMEM, "no memory for a kernel");
  }
  CUresult result = driver->cuModuleGetFunction(&kernel->function, module->module, entry);
  if (result) {
    free(kernel->entry);
    free(kernel);
    return cuda_fail(driver, result, "finding the kernel %s in %s", entry, module->name);
  }
  kernel->device = device;
  kernel->programmatic = module->programmatic;
  kernel->next = module->kernels;
  module->kernels = kernel;
  *out_kernel = kernel;
  return WEIR_OK;
}

enum { SHARED_WITHOUT_ASKING = 48 << 10 };

weir_status cuda_kernel_get(const weir_device *device, const char *plugin_path, const char *ptx, const char *entry,
                            uint32_t most_shared_bytes, const weir_kernel **out_kernel) {
  struct cuda_device *cuda = device->cuda;
  struct cuda_module *module = NULL;
  struct weir_kernel *kernel = NULL;
  lock_take(&cuda->lock);
  weir_status status = find_module_locked(device, plugin_path, ptx, entry, &module);
  if (!status) status = find_kernel_locked(device, module, entry, &kernel);
  if (!status && most_shared_bytes > SHARED_WITHOUT_ASKING) {
    CUresult result =
        cuda->driver->cuFuncSetAttribute(kernel->function, CU_FUNCTION_MAX_DYNAMIC_SHARED, (int)most_shared_bytes);
    if (result)
      status = cuda_fail(cuda->driver, result, "asking for %u bytes of shared memory for %s (the device has %u a block)",
                         most_shared_bytes, entry, device->info.smem_per_block);
  }
  lock_drop(&cuda->lock);
  if (!status) *out_kernel = kernel;
  return status;
}

weir_status cuda_kernel_occupancy(const weir_kernel *kernel, uint32_t threads, uint32_t shared_bytes,
                                  uint32_t *out_blocks) {
  const struct cuda_driver *driver = kernel->device->cuda->driver;
  int blocks = 0;
  CUresult result =
      driver->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel->function, (int)threads, shared_bytes);
  if (result) return cuda_fail(driver, result, "asking how many blocks of %s fit", kernel->entry);
  *out_blocks = (uint32_t)blocks;
  return WEIR_OK;
}

weir_status cuda_kernel_launch(const weir_kernel *kernel, const weir_launch *launch, void *const *params,
                               weir_stream stream) {
  const struct cuda_driver *driver = kernel->device->cuda->driver;
  const uint32_t *grid = launch->grid, *block = launch->block;
  CUresult result;
  if (launch->flags & WEIR_LAUNCH_PROGRAMMATIC && kernel->programmatic && driver->cuLaunchKernelEx) {
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION,
                                   .value.programmatic_stream_serialization_allowed = 1};
    CUlaunchConfig config = {.grid = {grid[0], grid[1], grid[2]},
                             .block = {block[0], block[1], block[2]},
                             .shared_bytes = launch->shared_bytes,
                             .stream = stream,
                             .attributes = &attribute,
                             .attribute_count = 1};
    result = driver->cuLaunchKernelEx(&config, kernel->function, (void **)(uintptr_t)params, NULL);
  } else {
    result = driver->cuLaunchKernel(kernel->function, grid[0], grid[1], grid[2], block[0], block[1], block[2],
                                    launch->shared_bytes, stream, (void **)(uintptr_t)params, NULL);
  }
  if (!result) return WEIR_OK;
  return cuda_fail(driver, result, "launching %s on %u x %u x %u blocks of %u threads with %u bytes of shared memory",
                   kernel->entry, grid[0], grid[1], grid[2], block[0] * block[1] * block[2], launch->shared_bytes);
}

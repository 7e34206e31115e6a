/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "cuda.h"

static const struct symbol {
  const char *name;
  size_t offset;
  bool required;
  int since;
} symbols[] = {
#define CUDA_ROW(name, required, since, parameters) {#name, offsetof(struct cuda_driver, name), required, since},
    CUDA_SYMBOLS(CUDA_ROW)
#undef CUDA_ROW
};

weir_status cuda_fail(const struct cuda_driver *driver, CUresult result, const char *format, ...) {
  char what[512];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  const char *name = NULL, *meaning = NULL;
  driver->cuGetErrorName(result, &name);
  driver->cuGetErrorString(result, &meaning);
  weir_status status = result == CUDA_ERROR_OUT_OF_MEMORY ? WEIR_E_NOMEM
                       : result >= CUDA_ERROR_STREAM_CAPTURE_FIRST && result <= CUDA_ERROR_STREAM_CAPTURE_LAST
                           ? WEIR_E_CAPTURE
                           : WEIR_E_DRIVER;
  return weir_fail(status, "%s: the CUDA driver %d.%d answers %s (%d), %s", what, driver->version / 1000,
                   driver->version % 1000 / 10, name ? name : "an unknown error", result,
                   meaning ? meaning : "no meaning given");
}

static weir_status find_symbols(struct cuda_driver *driver, const char *path) {
  struct text missing = {0};
  for (size_t i = 0; i < COUNT_OF(symbols); i++) {
    void *address = dlsym(driver->library, symbols[i].name);
    *(void **)((char *)driver + symbols[i].offset) = address;
    if (!address && symbols[i].required)
      text_add(&missing, "%s%s (since %d.%d)", missing.length ? ", " : "", symbols[i].name, symbols[i].since / 1000,
               symbols[i].since % 1000 / 10);
  }
  weir_status status = WEIR_OK;
  if (missing.length || missing.failed)
    status = weir_fail(WEIR_E_NODEVICE, "%s lacks %s; install a newer NVIDIA driver (11.4 or later)", path,
                       missing.data ? missing.data : "required functions");
  text_free(&missing);
  return status;
}

static weir_status initialise(struct cuda_driver *driver, const char *path) {
  CUresult result = driver->cuInit(0);
  driver->cuDriverGetVersion(&driver->version);
  if (result == CUDA_SUCCESS) return WEIR_OK;
  cuda_fail(driver, result, "cuInit of %s", path);
  return weir_fail(WEIR_E_NODEVICE, "%s; check with nvidia-smi that a GPU is present and its driver runs",
                   weir_last_error());
}

static weir_status open_driver(weir_runtime *runtime, struct cuda_driver **out_driver) {
  const char *path = runtime->cuda_library[0] ? runtime->cuda_library : "libcuda.so.1";
  struct cuda_driver *driver = calloc(1, sizeof *driver);
  if (!driver) return weir_fail(WEIR_E_NOMEM, "no memory for the CUDA driver's functions");
  weir_status status = WEIR_OK;
  driver->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!driver->library)
    status = weir_fail(WEIR_E_NODEVICE,
                       "the CUDA driver is not here (%s); install NVIDIA's driver or name its libcuda.so.1 in "
                       "WEIR_CUDA_LIBRARY",
                       dlerror());
  if (!status) status = find_symbols(driver, path);
  if (!status) status = initialise(driver, path);
  if (status) {
    free(driver);
    return status;
  }
  log_line(&runtime->log, WEIR_LOG_INFO, "cuda", "%s, driver %d.%d", path, driver->version / 1000,
           driver->version % 1000 / 10);
  *out_driver = driver;
  return WEIR_OK;
}

weir_status cuda_open(weir_runtime *runtime, const struct cuda_driver **out_driver) {
  lock_take(&runtime->lock);
  weir_status status = runtime->cuda ? WEIR_OK : open_driver(runtime, &runtime->cuda);
  *out_driver = runtime->cuda;
  lock_drop(&runtime->lock);
  return status;
}

/* The library itself stays: what it started cannot be unloaded. */
void cuda_driver_free(struct cuda_driver *driver) { free(driver); }

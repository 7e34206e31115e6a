/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda_device.h"

enum { ALIGNMENT = 256, HUGE_PAGE = 2 << 20 };

/* Checks what all calls share, and enters the device. */
static weir_status enter(const weir_device *device, const char *call, const void *a, const void *b, uint64_t bytes,
                         weir_stream stream, struct device_scope *out_scope) {
  if (!device) return weir_fail(WEIR_E_NULL, "%s: device is null", call);
  if (device->info.flags & WEIR_DEVICE_SYNTHETIC)
    return weir_fail(WEIR_E_NODEVICE, "%s: %s is a description, not a device of this machine", call,
                     device->info.name);
  if (bytes && (!a || !b))
    return weir_fail(WEIR_E_NULL, "%s: a null pointer for %llu bytes", call, (unsigned long long)bytes);
  if (stream && device->info.kind == WEIR_DEVICE_CPU)
    return weir_fail(WEIR_E_INVALID, "%s: the CPU has no streams; pass NULL", call);
  return device_enter(device, out_scope);
}

static weir_status cpu_alloc(const weir_device *device, uint64_t bytes, void **out_memory) {
  size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
  void *memory = NULL;
  if (bytes > SIZE_MAX / 2 || posix_memalign(&memory, alignment, bytes ? (size_t)bytes : 1) != 0)
    return weir_fail(WEIR_E_NOMEM, "%llu bytes of memory are not to be had on %s", (unsigned long long)bytes,
                     device->info.name);
  if (bytes >= HUGE_PAGE) madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
  *out_memory = memory;
  return WEIR_OK;
}

weir_status weir_memory_alloc(weir_device *device, uint64_t bytes, void **out_memory) {
  if (!out_memory) return weir_fail(WEIR_E_NULL, "weir_memory_alloc: out_memory is null");
  *out_memory = NULL;
  struct device_scope scope;
  weir_status status = enter(device, "weir_memory_alloc", NULL, NULL, 0, NULL, &scope);
  if (status) return status;
  status = device->cuda ? cuda_memory_alloc(device, bytes, out_memory) : cpu_alloc(device, bytes, out_memory);
  device_leave(device, scope);
  return status;
}

void weir_memory_free(weir_device *device, void *memory) {
  struct device_scope scope;
  if (!device || !device->cuda) {
    free(memory);
  } else if (!device_enter_to_free(device, &scope)) {
    cuda_memory_free(device, memory);
    device_leave(device, scope);
  }
}

weir_status weir_memory_upload(weir_device *device, void *out_device_memory, const void *host_memory, uint64_t bytes,
                               weir_stream stream) {
  struct device_scope scope;
  weir_status status = enter(device, "weir_memory_upload", out_device_memory, host_memory, bytes, stream, &scope);
  if (status) return status;
  if (bytes && device->cuda)
    status = cuda_memory_upload(device, out_device_memory, host_memory, bytes, stream);
  else if (bytes)
    memmove(out_device_memory, host_memory, bytes);
  device_leave(device, scope);
  return status;
}

weir_status weir_memory_download(weir_device *device, void *out_host_memory, const void *device_memory, uint64_t bytes,
                                 weir_stream stream) {
  struct device_scope scope;
  weir_status status = enter(device, "weir_memory_download", out_host_memory, device_memory, bytes, stream, &scope);
  if (status) return status;
  if (bytes && device->cuda)
    status = cuda_memory_download(device, out_host_memory, device_memory, bytes, stream);
  else if (bytes)
    memmove(out_host_memory, device_memory, bytes);
  device_leave(device, scope);
  return status;
}

weir_status weir_memory_fill(weir_device *device, void *out_device_memory, int byte, uint64_t bytes,
                             weir_stream stream) {
  struct device_scope scope;
  weir_status status = enter(device, "weir_memory_fill", out_device_memory, out_device_memory, bytes, stream, &scope);
  if (status) return status;
  if (bytes && device->cuda)
    status = cuda_memory_fill(device, out_device_memory, byte, bytes, stream);
  else if (bytes)
    memset(out_device_memory, byte, bytes);
  device_leave(device, scope);
  return status;
}

weir_status weir_synchronize(weir_device *device, weir_stream stream) {
  struct device_scope scope;
  weir_status status = enter(device, "weir_synchronize", NULL, NULL, 0, stream, &scope);
  if (status) return status;
  if (device->cuda) status = cuda_synchronize(device, stream);
  device_leave(device, scope);
  return status;
}

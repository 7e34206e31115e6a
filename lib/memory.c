/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

enum { ALIGNMENT = 256, HUGE_PAGE = 2 << 20 };

static weir_status check(const weir_device *device, const char *call, const void *a, const void *b, uint64_t bytes,
                         weir_stream stream) {
  if (!device) return weir_fail(WEIR_E_NULL, "%s: device is null", call);
  if (device->info.flags & WEIR_DEVICE_SYNTHETIC)
    return weir_fail(WEIR_E_NODEVICE, "%s: %s is a description, not a device of this machine", call,
                     device->info.name);
  if (bytes && (!a || !b)) return weir_fail(WEIR_E_NULL, "%s: a null pointer for %llu bytes", call,
                                            (unsigned long long)bytes);
  if (stream) return weir_fail(WEIR_E_INVALID, "%s: the CPU has no streams; pass NULL", call);
  return WEIR_OK;
}

weir_status weir_memory_alloc(weir_device *device, uint64_t bytes, void **out_memory) {
  if (!out_memory) return weir_fail(WEIR_E_NULL, "weir_memory_alloc: out_memory is null");
  *out_memory = NULL;
  weir_status status = check(device, "weir_memory_alloc", NULL, NULL, 0, NULL);
  if (status) return status;
  size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
  void *memory = NULL;
  if (bytes > SIZE_MAX / 2 || posix_memalign(&memory, alignment, bytes ? (size_t)bytes : 1) != 0)
    return weir_fail(WEIR_E_NOMEM, "%llu bytes of memory are not to be had on %s", (unsigned long long)bytes,
                     device->info.name);
  if (bytes >= HUGE_PAGE) madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
  *out_memory = memory;
  return WEIR_OK;
}

void weir_memory_free(weir_device *device, void *memory) {
  (void)device;
  free(memory);
}

weir_status weir_memory_upload(weir_device *device, void *out_device_memory, const void *host_memory, uint64_t bytes,
                               weir_stream stream) {
  weir_status status = check(device, "weir_memory_upload", out_device_memory, host_memory, bytes, stream);
  if (!status && bytes) memmove(out_device_memory, host_memory, bytes);
  return status;
}

weir_status weir_memory_download(weir_device *device, void *out_host_memory, const void *device_memory, uint64_t bytes,
                                 weir_stream stream) {
  weir_status status = check(device, "weir_memory_download", out_host_memory, device_memory, bytes, stream);
  if (!status && bytes) memmove(out_host_memory, device_memory, bytes);
  return status;
}

weir_status weir_memory_fill(weir_device *device, void *out_device_memory, int byte, uint64_t bytes,
                             weir_stream stream) {
  weir_status status = check(device, "weir_memory_fill", out_device_memory, out_device_memory, bytes, stream);
  if (!status && bytes) memset(out_device_memory, byte, bytes);
  return status;
}

weir_status weir_synchronize(weir_device *device, weir_stream stream) {
  return check(device, "weir_synchronize", NULL, NULL, 0, stream);
}

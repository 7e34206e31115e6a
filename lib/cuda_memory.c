/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "cuda_device.h"

static CUdeviceptr address(const void *memory) { return (CUdeviceptr)(uintptr_t)memory; }

weir_status cuda_memory_alloc(const weir_device *device, uint64_t bytes, void **out_memory) {
  const struct cuda_driver *driver = device->cuda->driver;
  CUdeviceptr memory = 0;
  CUresult result = driver->cuMemAlloc_v2(&memory, bytes ? bytes : 1);
  if (result) {
    size_t left = 0, total = 0;
    driver->cuMemGetInfo_v2(&left, &total);
    return cuda_fail(driver, result, "allocating %llu bytes on %s, which has %zu of %zu free", (unsigned long long)bytes,
                     device->info.name, left, total);
  }
  *out_memory = (void *)(uintptr_t)memory;
  return WEIR_OK;
}

void cuda_memory_free(const weir_device *device, void *memory) {
  if (memory) device->cuda->driver->cuMemFree_v2(address(memory));
}

weir_status cuda_synchronize(const weir_device *device, weir_stream stream) {
  CUresult result = device->cuda->driver->cuStreamSynchronize(stream);
  return result ? cuda_fail(device->cuda->driver, result, "waiting for the stream") : WEIR_OK;
}

weir_status cuda_memory_upload(const weir_device *device, void *out_device_memory, const void *host_memory,
                               uint64_t bytes, weir_stream stream) {
  const struct cuda_driver *driver = device->cuda->driver;
  CUresult result = driver->cuMemcpyHtoDAsync_v2(address(out_device_memory), host_memory, bytes, stream);
  if (result) return cuda_fail(driver, result, "copying %llu bytes to the device", (unsigned long long)bytes);
  return cuda_synchronize(device, stream);
}

weir_status cuda_memory_download(const weir_device *device, void *out_host_memory, const void *device_memory,
                                 uint64_t bytes, weir_stream stream) {
  const struct cuda_driver *driver = device->cuda->driver;
  CUresult result = driver->cuMemcpyDtoHAsync_v2(out_host_memory, address(device_memory), bytes, stream);
  if (result) return cuda_fail(driver, result, "copying %llu bytes from the device", (unsigned long long)bytes);
  return cuda_synchronize(device, stream);
}

weir_status cuda_memory_fill(const weir_device *device, void *out_device_memory, int byte, uint64_t bytes,
                             weir_stream stream) {
  const struct cuda_driver *driver = device->cuda->driver;
  CUresult result = driver->cuMemsetD8Async(address(out_device_memory), (unsigned char)byte, bytes, stream);
  return result ? cuda_fail(driver, result, "filling %llu bytes", (unsigned long long)bytes) : WEIR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>

#include "cuda_device.h"

static weir_status describe(const struct cuda_driver *driver, CUdevice device, int ordinal,
                            weir_device_info *out_info) {
  int value[6] = {0};
  static const int attributes[COUNT_OF(value)] = {CU_ATTRIBUTE_CC_MAJOR,   CU_ATTRIBUTE_CC_MINOR,
                                                  CU_ATTRIBUTE_SM_COUNT,   CU_ATTRIBUTE_L2_BYTES,
                                                  CU_ATTRIBUTE_SMEM_PER_SM, CU_ATTRIBUTE_SMEM_PER_BLOCK_OPTIN};
  for (size_t i = 0; i < COUNT_OF(value); i++) {
    CUresult result = driver->cuDeviceGetAttribute(&value[i], attributes[i], device);
    if (result) return cuda_fail(driver, result, "asking cuda:%d for its attribute %d", ordinal, attributes[i]);
  }
  size_t memory = 0;
  CUresult result = driver->cuDeviceTotalMem_v2(&memory, device);
  if (result) return cuda_fail(driver, result, "asking cuda:%d for its memory", ordinal);
  *out_info = (weir_device_info){
      .struct_size = sizeof *out_info,
      .kind = WEIR_DEVICE_CUDA,
      .ordinal = ordinal,
      .memory_bytes = memory,
      .cache_bytes = (uint64_t)value[3],
      .cc = (uint32_t)(value[0] * 10 + value[1]),
      .sm_count = (uint32_t)value[2],
      .smem_per_block = (uint32_t)value[5],
      .smem_per_sm = (uint32_t)value[4],
      .driver_version = (uint32_t)driver->version,
  };
  driver->cuDeviceGetName(out_info->name, (int)sizeof out_info->name, device);
  return WEIR_OK;
}

/* The host's current context if it is one of this device, else the primary one. */
static weir_status find_context(struct cuda_device *cuda, int ordinal) {
  const struct cuda_driver *driver = cuda->driver;
  CUcontext current = NULL;
  CUdevice of = -1;
  if (driver->cuCtxGetCurrent(&current) == CUDA_SUCCESS && current && driver->cuCtxGetDevice(&of) == CUDA_SUCCESS &&
      of == cuda->device) {
    cuda->context = current;
    return WEIR_OK;
  }
  CUresult result = driver->cuDevicePrimaryCtxRetain(&cuda->context, cuda->device);
  if (result) return cuda_fail(driver, result, "opening the primary context of cuda:%d", ordinal);
  cuda->primary = true;
  return WEIR_OK;
}

weir_status cuda_device_open(weir_runtime *runtime, int ordinal, struct cuda_device **out_cuda,
                             weir_device_info *out_info) {
  const struct cuda_driver *driver;
  weir_status status = cuda_open(runtime, &driver);
  if (status) return status;
  int count = 0;
  CUresult result = driver->cuDeviceGetCount(&count);
  if (result) return cuda_fail(driver, result, "counting CUDA devices");
  if (ordinal >= count)
    return weir_fail(WEIR_E_NODEVICE, "there is no device cuda:%d; the driver shows %d device%s, counted from 0 "
                     "(CUDA_VISIBLE_DEVICES may hide some)", ordinal, count, count == 1 ? "" : "s");
  struct cuda_device *cuda = calloc(1, sizeof *cuda);
  if (!cuda) return weir_fail(WEIR_E_NOMEM, "no memory for a CUDA device");
  cuda->driver = driver;
  lock_init(&cuda->lock);
  result = driver->cuDeviceGet(&cuda->device, ordinal);
  status = result ? cuda_fail(driver, result, "opening cuda:%d", ordinal) : WEIR_OK;
  if (!status) status = describe(driver, cuda->device, ordinal, out_info);
  if (!status) status = find_context(cuda, ordinal);
  if (status) {
    lock_destroy(&cuda->lock);
    free(cuda);
    return status;
  }
  *out_cuda = cuda;
  return WEIR_OK;
}

void cuda_device_close(struct cuda_device *cuda) {
  if (!cuda) return;
  bool pushed = false;
  if (cuda->modules && (cuda_enter(cuda, &pushed) == WEIR_OK || cuda_enter(cuda, &pushed) == WEIR_OK)) {
    cuda_modules_free(cuda);
    cuda_leave(cuda, pushed);
  }
  if (cuda->primary) cuda->driver->cuDevicePrimaryCtxRelease_v2(cuda->device);
  lock_destroy(&cuda->lock);
  free(cuda);
}

weir_status cuda_enter(const struct cuda_device *cuda, bool *out_pushed) {
  CUcontext current = NULL;
  *out_pushed = false;
  CUresult result = cuda->driver->cuCtxGetCurrent(&current);
  if (!result && current == cuda->context) return WEIR_OK;
  result = cuda->driver->cuCtxPushCurrent_v2(cuda->context);
  if (result) return cuda_fail(cuda->driver, result, "making the device's context current");
  *out_pushed = true;
  return WEIR_OK;
}

void cuda_leave(const struct cuda_device *cuda, bool pushed) {
  CUcontext popped;
  if (pushed) cuda->driver->cuCtxPopCurrent_v2(&popped);
}

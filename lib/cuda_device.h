/* SPDX-License-Identifier: MIT */
#ifndef WEIR_LIB_CUDA_DEVICE_H
#define WEIR_LIB_CUDA_DEVICE_H

#include "cuda.h"

weir_status cuda_device_open(weir_runtime *runtime, int ordinal, struct cuda_device **out_cuda,
                             weir_device_info *out_info);
void cuda_device_close(struct cuda_device *cuda);
/* Between the two the device's context is the thread's current one. */
weir_status cuda_enter(const struct cuda_device *cuda, bool *out_pushed);
void cuda_leave(const struct cuda_device *cuda, bool pushed);

/* ---- cuda_memory.c; the caller has entered the device ---- */
weir_status cuda_memory_alloc(const weir_device *device, uint64_t bytes, void **out_memory);
void cuda_memory_free(const weir_device *device, void *memory);
weir_status cuda_memory_upload(const weir_device *device, void *out_device_memory, const void *host_memory,
                               uint64_t bytes, weir_stream stream);
weir_status cuda_memory_download(const weir_device *device, void *out_host_memory, const void *device_memory,
                                 uint64_t bytes, weir_stream stream);
weir_status cuda_memory_fill(const weir_device *device, void *out_device_memory, int byte, uint64_t bytes,
                             weir_stream stream);
weir_status cuda_synchronize(const weir_device *device, weir_stream stream);

#endif

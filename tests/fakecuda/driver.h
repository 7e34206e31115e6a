// SPDX-License-Identifier: MIT
//
// The part of the CUDA driver API that the stand-in has, in own words: the
// functions' names, the layouts and the numbers are those of a 64-bit libcuda.so.1.
#pragma once

#include <cstddef>
#include <cstdint>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;

enum : CUresult {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_ILLEGAL_STATE = 401,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
  CUDA_ERROR_STREAM_CAPTURE_MERGE = 902,
  CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
  CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
  CUDA_ERROR_STREAM_CAPTURE_ISOLATION = 905,
  CUDA_ERROR_STREAM_CAPTURE_IMPLICIT = 906,
  CUDA_ERROR_CAPTURED_EVENT = 907,
  CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD = 908
};

// Handles of streams that need not be created.
enum : uintptr_t { STREAM_DEFAULT = 0, STREAM_LEGACY = 1, STREAM_PER_THREAD = 2 };

enum : unsigned { STREAM_NON_BLOCKING = 1, EVENT_DISABLE_TIMING = 2 };
enum : int { CAPTURE_GLOBAL = 0, CAPTURE_THREAD_LOCAL = 1, CAPTURE_RELAXED = 2 };
enum : int { CAPTURE_STATUS_NONE = 0, CAPTURE_STATUS_ACTIVE = 1, CAPTURE_STATUS_INVALIDATED = 2 };

enum : int {
  JIT_INFO_LOG_BUFFER = 3,
  JIT_INFO_LOG_BUFFER_SIZE_BYTES = 4,
  JIT_ERROR_LOG_BUFFER = 5,
  JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6
};

enum : int {
  FUNCTION_MAX_THREADS_PER_BLOCK = 0,
  FUNCTION_SHARED_SIZE_BYTES = 1,
  FUNCTION_CONST_SIZE_BYTES = 2,
  FUNCTION_LOCAL_SIZE_BYTES = 3,
  FUNCTION_NUM_REGS = 4,
  FUNCTION_PTX_VERSION = 5,
  FUNCTION_BINARY_VERSION = 6,
  FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT = 9,
  FUNCTION_NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14,
  FUNCTION_ATTRIBUTES = 16
};

enum : unsigned { LAUNCH_IGNORE = 0, LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION = 6, LAUNCH_PRIORITY = 8 };
enum : uintptr_t { LAUNCH_PARAM_END = 0, LAUNCH_PARAM_BUFFER_POINTER = 1, LAUNCH_PARAM_BUFFER_SIZE = 2 };

struct CUlaunchAttribute {
  unsigned id;
  char pad[4];
  union {
    char bytes[64];
    int number;
  } value;
};

struct CUlaunchConfig {
  unsigned grid[3], block[3];
  unsigned shared_bytes;
  CUstream stream;
  CUlaunchAttribute *attributes;
  unsigned attribute_count;
};

static_assert(sizeof(CUlaunchAttribute) == 72 && sizeof(CUlaunchConfig) == 56, "layouts of the driver API");

#define DRIVER_API extern "C" __attribute__((visibility("default"))) CUresult

DRIVER_API cuInit(unsigned flags);
DRIVER_API cuDriverGetVersion(int *out);
DRIVER_API cuDeviceGetCount(int *out);
DRIVER_API cuDeviceGet(CUdevice *out, int ordinal);
DRIVER_API cuDeviceGetName(char *out, int size, CUdevice ordinal);
DRIVER_API cuDeviceTotalMem_v2(size_t *out, CUdevice ordinal);
DRIVER_API cuDeviceGetAttribute(int *out, int attribute, CUdevice ordinal);
DRIVER_API cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice ordinal);
DRIVER_API cuDevicePrimaryCtxRelease_v2(CUdevice ordinal);
DRIVER_API cuCtxCreate_v2(CUcontext *out, unsigned flags, CUdevice ordinal);
DRIVER_API cuCtxDestroy_v2(CUcontext which);
DRIVER_API cuCtxGetCurrent(CUcontext *out);
DRIVER_API cuCtxSetCurrent(CUcontext which);
DRIVER_API cuCtxPushCurrent_v2(CUcontext which);
DRIVER_API cuCtxPopCurrent_v2(CUcontext *out);
DRIVER_API cuCtxGetDevice(CUdevice *out);
DRIVER_API cuCtxSynchronize(void);
DRIVER_API cuMemAlloc_v2(CUdeviceptr *out, size_t bytes);
DRIVER_API cuMemFree_v2(CUdeviceptr at);
DRIVER_API cuMemHostAlloc(void **out, size_t bytes, unsigned flags);
DRIVER_API cuMemFreeHost(void *at);
DRIVER_API cuMemGetInfo_v2(size_t *out_free, size_t *out_total);
DRIVER_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream);
DRIVER_API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream);
DRIVER_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream);
DRIVER_API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream);
DRIVER_API cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned count, int *options, void **values);
DRIVER_API cuModuleUnload(CUmodule which);
DRIVER_API cuModuleGetFunction(CUfunction *out, CUmodule which, const char *name);
DRIVER_API cuFuncGetAttribute(int *out, int attribute, CUfunction which);
DRIVER_API cuFuncSetAttribute(CUfunction which, int attribute, int value);
DRIVER_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *out, CUfunction which, int threads,
                                                       size_t dynamic_bytes);
DRIVER_API cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned dynamic_bytes, CUstream stream,
                          void **parameters, void **extra);
DRIVER_API cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra);
DRIVER_API cuTensorMapEncodeTiled(struct tensor_map *out, int type, unsigned rank, void *memory, const uint64_t *size,
                                  const uint64_t *stride, const unsigned *box, const unsigned *every, int interleave,
                                  int swizzle, int l2_promotion, int outside);
DRIVER_API cuStreamCreate(CUstream *out, unsigned flags);
DRIVER_API cuStreamDestroy_v2(CUstream which);
DRIVER_API cuStreamSynchronize(CUstream which);
DRIVER_API cuStreamIsCapturing(CUstream which, int *out);
DRIVER_API cuStreamBeginCapture_v2(CUstream which, int mode);
DRIVER_API cuStreamEndCapture(CUstream which, CUgraph *out);
DRIVER_API cuStreamWaitEvent(CUstream which, CUevent handle, unsigned flags);
DRIVER_API cuEventCreate(CUevent *out, unsigned flags);
DRIVER_API cuEventDestroy_v2(CUevent which);
DRIVER_API cuEventRecord(CUevent which, CUstream on);
DRIVER_API cuEventSynchronize(CUevent which);
DRIVER_API cuEventElapsedTime(float *out, CUevent from, CUevent to);
DRIVER_API cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph which, unsigned long long flags);
DRIVER_API cuGraphLaunch(CUgraphExec which, CUstream on);
DRIVER_API cuGraphExecDestroy(CUgraphExec which);
DRIVER_API cuGraphDestroy(CUgraph which);
DRIVER_API cuGetErrorName(CUresult code, const char **out);
DRIVER_API cuGetErrorString(CUresult code, const char **out);

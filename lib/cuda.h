/* SPDX-License-Identifier: MIT */

/* CUDA inside libweir: the driver's functions, found by name at the first request
 * for a CUDA device; no cuda.h, nothing linked, nothing closed. */
#ifndef WEIR_LIB_CUDA_H
#define WEIR_LIB_CUDA_H

#include "internal.h"

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

typedef struct CUlaunchAttribute {
  int id;
  int padding;
  union {
    char bytes[64];
    int programmatic_stream_serialization_allowed;
  } value;
} CUlaunchAttribute;
typedef struct CUlaunchConfig {
  unsigned grid[3], block[3], shared_bytes;
  CUstream stream;
  CUlaunchAttribute *attributes;
  unsigned attribute_count;
} CUlaunchConfig;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_STREAM_CAPTURE_FIRST = 900,
  CUDA_ERROR_STREAM_CAPTURE_LAST = 908,
  CU_ATTRIBUTE_SM_COUNT = 16,
  CU_ATTRIBUTE_L2_BYTES = 38,
  CU_ATTRIBUTE_CC_MAJOR = 75,
  CU_ATTRIBUTE_CC_MINOR = 76,
  CU_ATTRIBUTE_SMEM_PER_SM = 81,
  CU_ATTRIBUTE_SMEM_PER_BLOCK_OPTIN = 97,
  CU_FUNCTION_MAX_DYNAMIC_SHARED = 8,
  CU_LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION = 6,
  CU_JIT_INFO_LOG = 3,
  CU_JIT_INFO_LOG_BYTES = 4,
  CU_JIT_ERROR_LOG = 5,
  CU_JIT_ERROR_LOG_BYTES = 6
};

/* X(symbol, required?, driver version that brought it, parameters). The names are the
 * versioned ones, because headers of other toolkits map plain names elsewhere. */
#define CUDA_SYMBOLS(X)                                                                                        \
  X(cuGetErrorName, true, 6000, (CUresult, const char **))                                                     \
  X(cuGetErrorString, true, 6000, (CUresult, const char **))                                                   \
  X(cuInit, true, 2000, (unsigned))                                                                            \
  X(cuDriverGetVersion, true, 2020, (int *))                                                                   \
  X(cuDeviceGetCount, true, 2000, (int *))                                                                     \
  X(cuDeviceGet, true, 2000, (CUdevice *, int))                                                                \
  X(cuDeviceGetName, true, 2000, (char *, int, CUdevice))                                                      \
  X(cuDeviceGetAttribute, true, 2000, (int *, int, CUdevice))                                                  \
  X(cuDeviceTotalMem_v2, true, 3020, (size_t *, CUdevice))                                                     \
  X(cuDevicePrimaryCtxRetain, true, 7000, (CUcontext *, CUdevice))                                             \
  X(cuDevicePrimaryCtxRelease_v2, true, 11000, (CUdevice))                                                     \
  X(cuCtxGetCurrent, true, 4000, (CUcontext *))                                                                \
  X(cuCtxGetDevice, true, 2000, (CUdevice *))                                                                  \
  X(cuCtxPushCurrent_v2, true, 4000, (CUcontext))                                                              \
  X(cuCtxPopCurrent_v2, true, 4000, (CUcontext *))                                                             \
  X(cuModuleLoadDataEx, true, 2010, (CUmodule *, const void *, unsigned, int *, void **))                      \
  X(cuModuleUnload, true, 2000, (CUmodule))                                                                    \
  X(cuModuleGetFunction, true, 2000, (CUfunction *, CUmodule, const char *))                                   \
  X(cuFuncSetAttribute, true, 9000, (CUfunction, int, int))                                                    \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor, true, 6050, (int *, CUfunction, int, size_t))                 \
  X(cuLaunchKernel, true, 4000,                                                                                \
    (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **)) \
  X(cuLaunchKernelEx, false, 11060, (const CUlaunchConfig *, CUfunction, void **, void **))                    \
  X(cuMemAlloc_v2, true, 3020, (CUdeviceptr *, size_t))                                                        \
  X(cuMemFree_v2, true, 3020, (CUdeviceptr))                                                                   \
  X(cuMemGetInfo_v2, true, 3020, (size_t *, size_t *))                                                         \
  X(cuMemcpyHtoDAsync_v2, true, 3020, (CUdeviceptr, const void *, size_t, CUstream))                           \
  X(cuMemcpyDtoHAsync_v2, true, 3020, (void *, CUdeviceptr, size_t, CUstream))                                 \
  X(cuMemsetD8Async, true, 3020, (CUdeviceptr, unsigned char, size_t, CUstream))                               \
  X(cuStreamCreate, true, 2000, (CUstream *, unsigned))                                                        \
  X(cuStreamDestroy_v2, true, 4000, (CUstream))                                                                \
  X(cuStreamSynchronize, true, 2000, (CUstream))                                                               \
  X(cuStreamBeginCapture_v2, true, 10010, (CUstream, int))                                                     \
  X(cuStreamEndCapture, true, 10000, (CUstream, CUgraph *))                                                    \
  X(cuGraphInstantiateWithFlags, true, 11040, (CUgraphExec *, CUgraph, unsigned long long))                    \
  X(cuGraphLaunch, true, 10000, (CUgraphExec, CUstream))                                                       \
  X(cuGraphExecDestroy, true, 10000, (CUgraphExec))                                                            \
  X(cuGraphDestroy, true, 10000, (CUgraph))                                                                    \
  X(cuEventCreate, true, 2000, (CUevent *, unsigned))                                                          \
  X(cuEventRecord, true, 2000, (CUevent, CUstream))                                                            \
  X(cuEventSynchronize, true, 2000, (CUevent))                                                                 \
  X(cuEventElapsedTime, true, 2000, (float *, CUevent, CUevent))                                               \
  X(cuEventDestroy_v2, true, 4000, (CUevent))

struct cuda_driver {
  void *library;
  int version;
#define CUDA_MEMBER(name, required, since, parameters) CUresult(*name) parameters;
  CUDA_SYMBOLS(CUDA_MEMBER)
#undef CUDA_MEMBER
};

/* One CUDA device of a weir_device. */
struct cuda_device {
  const struct cuda_driver *driver;
  CUdevice device;
  CUcontext context;
  bool primary; /* retained by us, to be released */
  struct lock lock; /* modules */
  struct cuda_module *modules;
};

struct weir_kernel {
  const weir_device *device;
  CUfunction function;
  char *entry;
  bool programmatic; /* its PTX is for sm_90 or later, so it waits by itself */
  struct weir_kernel *next;
};

/* ---- cuda_driver.c ---- */
/* The driver of this runtime, opened and initialised at the first call. */
weir_status cuda_open(weir_runtime *runtime, const struct cuda_driver **out_driver);
void cuda_driver_free(struct cuda_driver *driver);
/* The weir_status of a CUresult, with a sentence: "what: NAME (number), string". */
weir_status cuda_fail(const struct cuda_driver *driver, CUresult result, const char *format, ...) WEIR_PRINTF(3, 4);

/* ---- cuda_module.c ---- */
weir_status cuda_kernel_get(const weir_device *device, const char *plugin_path, const char *ptx, const char *entry,
                            uint32_t most_shared_bytes, const weir_kernel **out_kernel);
weir_status cuda_kernel_occupancy(const weir_kernel *kernel, uint32_t threads, uint32_t shared_bytes,
                                  uint32_t *out_blocks);
weir_status cuda_kernel_launch(const weir_kernel *kernel, const weir_launch *launch, void *const *params,
                               weir_stream stream);
void cuda_modules_free(struct cuda_device *cuda);

/* ---- cuda_ptx.c ---- */
/* Finds and reads PTX (see weir_host.kernel_get). *out_name is what to call it in
 * sentences. The caller frees both. */
weir_status cuda_ptx_read(const weir_device *device, const char *plugin_path, const char *ptx, char **out_text,
                          char **out_name);

#endif

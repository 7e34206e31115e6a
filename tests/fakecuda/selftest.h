// SPDX-License-Identifier: MIT
//
// What the parts of the self test share. They use the stand-in as libweir does: by
// dlopen and dlsym, in the file that WEIR_TEST_FAKECUDA/libcuda.so.1 is.
#pragma once

#include "driver.h"
#include "fakecuda.h"

#include <functional>
#include <string>
#include <vector>

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) check_failed(#condition, __FILE__, __LINE__);                  \
  } while (0)
#define CHECK_CODE(call, want) check_code((call), (want), #call, __FILE__, __LINE__)
#define CHECK_OK(call) CHECK_CODE(call, CUDA_SUCCESS)
[[noreturn]] void check_failed(const char *condition, const char *file, int line);
void check_code(CUresult got, CUresult want, const char *call, const char *file, int line);

#define EACH_DRIVER_FUNCTION(X)                                                                                    \
  X(cuInit) X(cuDriverGetVersion) X(cuDeviceGet) X(cuDeviceGetCount) X(cuDeviceGetName) X(cuDeviceGetAttribute)     \
  X(cuDeviceTotalMem_v2) X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease_v2) X(cuCtxGetCurrent)            \
  X(cuCtxSetCurrent) X(cuCtxPushCurrent_v2) X(cuCtxPopCurrent_v2) X(cuCtxGetDevice) X(cuCtxSynchronize)            \
  X(cuCtxCreate_v2) X(cuCtxDestroy_v2) X(cuModuleLoadDataEx) X(cuModuleUnload) X(cuModuleGetFunction)              \
  X(cuFuncGetAttribute) X(cuFuncSetAttribute) X(cuLaunchKernel) X(cuLaunchKernelEx)                                \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuMemAlloc_v2) X(cuMemFree_v2) X(cuMemGetInfo_v2)               \
  X(cuMemHostAlloc) X(cuMemFreeHost) X(cuMemcpyHtoDAsync_v2) X(cuMemcpyDtoHAsync_v2) X(cuMemcpyDtoDAsync_v2)       \
  X(cuMemsetD8Async) X(cuStreamCreate) X(cuStreamDestroy_v2) X(cuStreamSynchronize) X(cuStreamIsCapturing)         \
  X(cuStreamBeginCapture_v2) X(cuStreamEndCapture) X(cuStreamWaitEvent) X(cuGraphInstantiateWithFlags)             \
  X(cuGraphLaunch) X(cuGraphExecDestroy) X(cuGraphDestroy) X(cuEventCreate) X(cuEventRecord) X(cuEventSynchronize) \
  X(cuEventElapsedTime) X(cuEventDestroy_v2) X(cuTensorMapEncodeTiled) X(cuGetErrorName) X(cuGetErrorString)

struct driver_functions {
#define X(name) decltype(&::name) name;
  EACH_DRIVER_FUNCTION(X)
#undef X
  fakecuda_calls_fn *calls;
  fakecuda_reset_fn *reset;
  fakecuda_restart_fn *restart;
  fakecuda_fail_nth_fn *fail_nth;
  fakecuda_fail_call_fn *fail_call;
  fakecuda_live_fn *live;
  fakecuda_message_fn *message;
  fakecuda_last_launch_fn *last_launch;
  fakecuda_kernel_threads_fn *kernel_threads;
};
extern driver_functions cu;

std::string library_path(const char *file);

// Restarts the driver with these variables ("NAME=value"), all others of FAKECUDA_* unset.
void restart_with(const std::vector<std::string> &variables);

bool message_has(const char *words);
bool nothing_lives();

// Runs the body in a child process; its exit status (or 128 + signal) and what it
// wrote to stderr.
struct child_result {
  int status;
  std::string errors;
};
child_result in_child(const std::function<void()> &body);

// An entry as nvcc writes it, with an empty body.
std::string entry_text(const std::string &name, const std::vector<std::string> &parameters, unsigned threads);
std::string ptx_text(const std::string &entries, const std::string &version = "7.8",
                     const std::string &target = "sm_80");

// The primary context of a device, current while this lives.
struct primary_context {
  explicit primary_context(int ordinal = 0);
  ~primary_context();
  int ordinal;
};

struct device_buffer {
  explicit device_buffer(size_t bytes);
  template <class T>
  explicit device_buffer(const std::vector<T> &from) : device_buffer(from.size() * sizeof(T)) {
    CHECK_OK(cu.cuMemcpyHtoDAsync_v2(at, from.data(), bytes, nullptr));
  }
  device_buffer(const device_buffer &) = delete;
  ~device_buffer();
  template <class T>
  std::vector<T> read() const {
    std::vector<T> to(bytes / sizeof(T));
    CHECK_OK(cu.cuMemcpyDtoHAsync_v2(to.data(), at, bytes, nullptr));
    CHECK_OK(cu.cuStreamSynchronize(nullptr));
    return to;
  }
  CUdeviceptr at;
  size_t bytes;
};

// A module with one function, and launches of it with any arguments.
struct loaded_kernel {
  loaded_kernel(const std::string &text, const std::string &name);
  loaded_kernel(const loaded_kernel &) = delete;
  ~loaded_kernel();
  template <class... A>
  CUresult launch(unsigned blocks, unsigned threads, unsigned dynamic, CUstream stream, A... arguments) const {
    void *pointers[] = {(void *)&arguments..., nullptr};
    return cu.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, dynamic, stream, pointers, nullptr);
  }
  CUmodule module;
  CUfunction function;
};
// One of selftest_kernels.cu.
struct test_kernel : loaded_kernel {
  test_kernel(const char *name, unsigned threads, const std::vector<std::string> &parameters)
      : loaded_kernel(ptx_text(entry_text(name, parameters, threads)), name) {}
};

uint32_t random_bits();

void test_driver();
void test_faults();
void test_modules();
void test_capture();
void test_emulation();
void test_mistakes();
void test_matvec();
void test_tensor();
void test_tensor_mistakes();
void test_barriers();
void test_pairs();
void test_boxes();

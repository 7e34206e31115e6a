// SPDX-License-Identifier: MIT
//
// Names of the codes, and a short text for each.
#include "driver.h"

static const struct {
  CUresult code;
  const char *name, *text;
} errors[] = {
#define ERROR(name, code, text) {code, "CUDA_" #name, text}
  ERROR(SUCCESS, 0, "no error"),
  ERROR(ERROR_INVALID_VALUE, 1, "invalid argument"),
  ERROR(ERROR_OUT_OF_MEMORY, 2, "out of memory"),
  ERROR(ERROR_NOT_INITIALIZED, 3, "initialization error"),
  ERROR(ERROR_DEINITIALIZED, 4, "driver shutting down"),
  ERROR(ERROR_STUB_LIBRARY, 34, "the library is a stub"),
  ERROR(ERROR_DEVICE_UNAVAILABLE, 46, "the device is busy or unavailable"),
  ERROR(ERROR_NO_DEVICE, 100, "no CUDA-capable device is detected"),
  ERROR(ERROR_INVALID_DEVICE, 101, "invalid device ordinal"),
  ERROR(ERROR_INVALID_IMAGE, 200, "device kernel image is invalid"),
  ERROR(ERROR_INVALID_CONTEXT, 201, "invalid device context"),
  ERROR(ERROR_NO_BINARY_FOR_GPU, 209, "no kernel image for this device"),
  ERROR(ERROR_ECC_UNCORRECTABLE, 214, "uncorrectable ECC error"),
  ERROR(ERROR_INVALID_PTX, 218, "PTX compilation failed"),
  ERROR(ERROR_JIT_COMPILER_NOT_FOUND, 221, "PTX compiler library not found"),
  ERROR(ERROR_UNSUPPORTED_PTX_VERSION, 222, "the PTX is newer than this driver"),
  ERROR(ERROR_INVALID_SOURCE, 300, "device kernel source is invalid"),
  ERROR(ERROR_OPERATING_SYSTEM, 304, "operating system call failed"),
  ERROR(ERROR_INVALID_HANDLE, 400, "invalid resource handle"),
  ERROR(ERROR_ILLEGAL_STATE, 401, "the resource is not in a fit state"),
  ERROR(ERROR_NOT_FOUND, 500, "named symbol not found"),
  ERROR(ERROR_NOT_READY, 600, "device not ready"),
  ERROR(ERROR_ILLEGAL_ADDRESS, 700, "an illegal memory access was encountered"),
  ERROR(ERROR_LAUNCH_OUT_OF_RESOURCES, 701, "too many resources requested for launch"),
  ERROR(ERROR_LAUNCH_TIMEOUT, 702, "the launch timed out and was terminated"),
  ERROR(ERROR_CONTEXT_IS_DESTROYED, 709, "context is destroyed"),
  ERROR(ERROR_ASSERT, 710, "device-side assert triggered"),
  ERROR(ERROR_ILLEGAL_INSTRUCTION, 715, "an illegal instruction was encountered"),
  ERROR(ERROR_MISALIGNED_ADDRESS, 716, "misaligned address"),
  ERROR(ERROR_LAUNCH_FAILED, 719, "unspecified launch failure"),
  ERROR(ERROR_NOT_PERMITTED, 800, "operation not permitted"),
  ERROR(ERROR_NOT_SUPPORTED, 801, "operation not supported"),
  ERROR(ERROR_SYSTEM_NOT_READY, 802, "system not yet initialized"),
  ERROR(ERROR_SYSTEM_DRIVER_MISMATCH, 803, "driver and kernel module versions differ"),
  ERROR(ERROR_STREAM_CAPTURE_UNSUPPORTED, 900, "operation not permitted when stream is capturing"),
  ERROR(ERROR_STREAM_CAPTURE_INVALIDATED, 901, "the capture failed because of an earlier error"),
  ERROR(ERROR_STREAM_CAPTURE_MERGE, 902, "two captures would be merged"),
  ERROR(ERROR_STREAM_CAPTURE_UNMATCHED, 903, "the capture did not begin in this stream"),
  ERROR(ERROR_STREAM_CAPTURE_UNJOINED, 904, "the capture has work that its stream never waited for"),
  ERROR(ERROR_STREAM_CAPTURE_ISOLATION, 905, "dependency on work outside the capture"),
  ERROR(ERROR_STREAM_CAPTURE_IMPLICIT, 906, "implicit dependency of the legacy stream on a capture"),
  ERROR(ERROR_CAPTURED_EVENT, 907, "the event was last recorded in a capture"),
  ERROR(ERROR_STREAM_CAPTURE_WRONG_THREAD, 908, "the capture began in another thread"),
  ERROR(ERROR_UNKNOWN, 999, "unknown error"),
#undef ERROR
};

DRIVER_API cuGetErrorName(CUresult code, const char **out) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  *out = nullptr;
  for (const auto &e : errors)
    if (e.code == code) *out = e.name;
  return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

DRIVER_API cuGetErrorString(CUresult code, const char **out) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  *out = nullptr;
  for (const auto &e : errors)
    if (e.code == code) *out = e.text;
  return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

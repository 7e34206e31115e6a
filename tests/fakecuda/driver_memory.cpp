// SPDX-License-Identifier: MIT
//
// Memory. Device memory is host memory of exactly the size asked for, so that
// AddressSanitizer guards both its ends, and starts as garbage.
#include "state.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

using namespace fakecuda;

static const int GARBAGE = 0xff; // NaN in every float format
static const size_t ALIGNMENT = 256;

static uint64_t memory_in_use(const state &s, int ordinal) {
  uint64_t bytes = 0;
  for (const auto &a : s.allocations) {
    auto c = s.contexts.find(a.second.context);
    if (c != s.contexts.end() && c->second.ordinal == ordinal) bytes += a.second.bytes;
  }
  return bytes;
}

static CUresult allocate(std::map<uintptr_t, allocation> &in, size_t bytes, uintptr_t owner, uintptr_t *out) {
  void *memory = nullptr;
  if (posix_memalign(&memory, ALIGNMENT, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  memset(memory, GARBAGE, bytes);
  in[(uintptr_t)memory] = {owner, bytes};
  *out = (uintptr_t)memory;
  return CUDA_SUCCESS;
}

static CUresult release(std::map<uintptr_t, allocation> &in, uintptr_t at) {
  if (!at) return CUDA_SUCCESS;
  if (!in.erase(at)) return CUDA_ERROR_INVALID_VALUE;
  free((void *)at);
  return CUDA_SUCCESS;
}

DRIVER_API cuMemAlloc_v2(CUdeviceptr *out, size_t bytes) {
  return driver_call("cuMemAlloc_v2", IN_CONTEXT | NOT_IN_CAPTURE, text("bytes=%zu", bytes),
                     [&](state &s, context *here) -> CUresult {
                       if (!out || !bytes) return CUDA_ERROR_INVALID_VALUE;
                       uint64_t total = s.devices[(size_t)here->ordinal].memory;
                       if (bytes > total - memory_in_use(s, here->ordinal)) return CUDA_ERROR_OUT_OF_MEMORY;
                       uintptr_t at = 0;
                       CUresult result = allocate(s.allocations, bytes, here->id, &at);
                       if (!result) *out = at;
                       return result;
                     });
}

DRIVER_API cuMemFree_v2(CUdeviceptr at) {
  return driver_call("cuMemFree_v2", IN_CONTEXT | NOT_IN_CAPTURE | GIVES_BACK, text("at=%#llx", at),
                     [&](state &s, context *) { return release(s.allocations, (uintptr_t)at); });
}

DRIVER_API cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
  return driver_call("cuMemHostAlloc", IN_CONTEXT | NOT_IN_CAPTURE, text("bytes=%zu flags=%u", bytes, flags),
                     [&](state &s, context *here) -> CUresult {
                       if (!out || !bytes) return CUDA_ERROR_INVALID_VALUE;
                       uintptr_t at = 0;
                       CUresult result = allocate(s.host_allocations, bytes, here->id, &at);
                       if (!result) *out = (void *)at;
                       return result;
                     });
}

DRIVER_API cuMemFreeHost(void *at) {
  return driver_call("cuMemFreeHost", IN_CONTEXT | NOT_IN_CAPTURE | GIVES_BACK, text("at=%p", at),
                     [&](state &s, context *) -> CUresult {
                       return at ? release(s.host_allocations, (uintptr_t)at) : CUDA_ERROR_INVALID_VALUE;
                     });
}

DRIVER_API cuMemGetInfo_v2(size_t *out_free, size_t *out_total) {
  return driver_call("cuMemGetInfo_v2", IN_CONTEXT, "", [&](state &s, context *here) -> CUresult {
    if (!out_free || !out_total) return CUDA_ERROR_INVALID_VALUE;
    *out_total = s.devices[(size_t)here->ordinal].memory;
    *out_free = *out_total - memory_in_use(s, here->ordinal);
    return CUDA_SUCCESS;
  });
}

// ---- Copies ---------------------------------------------------------------------

// Does all of it lie in one live allocation?
static bool in_device_memory(const state &s, CUdeviceptr at, size_t bytes) {
  auto next = s.allocations.upper_bound((uintptr_t)at);
  if (next == s.allocations.begin()) return false;
  auto a = std::prev(next);
  size_t offset = (uintptr_t)at - a->first;
  return offset <= a->second.bytes && bytes <= a->second.bytes - offset;
}

// One end of a copy: `at` in device memory, or anywhere in the host's.
struct copy_end {
  CUdeviceptr at;
  bool on_device;
};

static CUresult check_end(state &s, const char *name, const copy_end &end, size_t bytes) {
  if (!end.on_device) return end.at ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  if (in_device_memory(s, end.at, bytes)) return CUDA_SUCCESS;
  report(s, text("%s: %#llx with %zu bytes is not in device memory", name, end.at, bytes));
  return CUDA_ERROR_INVALID_VALUE;
}

// Checked when enqueued, and again when run: a graph may outlive the memory.
static CUresult copy_call(const char *name, copy_end to, copy_end from, size_t bytes, CUstream stream) {
  std::string arguments = text("to=%#llx from=%#llx bytes=%zu stream=%p", to.at, from.at, bytes, (void *)stream);
  return driver_call(name, IN_CONTEXT, arguments, [&](state &s, context *here) -> CUresult {
    if (!bytes) return CUDA_SUCCESS;
    auto check = [=](state &now) {
      CUresult result = check_end(now, name, to, bytes);
      return result ? result : check_end(now, name, from, bytes);
    };
    CUresult result = check(s);
    if (result) return result;
    return enqueue(s, *here, stream, [=](state &later) {
      CUresult gone = check(later);
      if (!gone) memmove((void *)to.at, (const void *)from.at, bytes);
      return gone;
    });
  });
}

DRIVER_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  return copy_call("cuMemcpyHtoDAsync_v2", {to, true}, {(CUdeviceptr)from, false}, bytes, stream);
}

DRIVER_API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_call("cuMemcpyDtoHAsync_v2", {(CUdeviceptr)to, false}, {from, true}, bytes, stream);
}

DRIVER_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_call("cuMemcpyDtoDAsync_v2", {to, true}, {from, true}, bytes, stream);
}

DRIVER_API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  std::string arguments = text("to=%#llx value=%u bytes=%zu stream=%p", to, value, bytes, (void *)stream);
  return driver_call("cuMemsetD8Async", IN_CONTEXT, arguments, [&](state &s, context *here) -> CUresult {
    if (!bytes) return CUDA_SUCCESS;
    CUresult result = check_end(s, "cuMemsetD8Async", {to, true}, bytes);
    if (result) return result;
    return enqueue(s, *here, stream, [=](state &later) {
      CUresult gone = check_end(later, "cuMemsetD8Async", {to, true}, bytes);
      if (!gone) memset((void *)to, value, bytes);
      return gone;
    });
  });
}

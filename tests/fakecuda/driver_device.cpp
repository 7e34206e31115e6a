// SPDX-License-Identifier: MIT
//
// Initialisation, devices, contexts.
#include "state.h"

#include <algorithm>
#include <cstring>
#include <unistd.h>

using namespace fakecuda;

DRIVER_API cuInit(unsigned flags) {
  return driver_call("cuInit", ANY_TIME, text("flags=%u", flags), [&](state &s, context *) -> CUresult {
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (s.devices.empty()) return CUDA_ERROR_NO_DEVICE;
    s.initialised_in = getpid();
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuDriverGetVersion(int *out) {
  return driver_call("cuDriverGetVersion", ANY_TIME, "", [&](state &s, context *) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = s.driver_version;
    return CUDA_SUCCESS;
  });
}

// ---- Devices --------------------------------------------------------------------

DRIVER_API cuDeviceGetCount(int *out) {
  return driver_call("cuDeviceGetCount", INITIALISED, "", [&](state &s, context *) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = (int)s.devices.size();
    return CUDA_SUCCESS;
  });
}

static CUresult device_call(const char *name, CUdevice ordinal, const std::string &arguments, const void *out,
                            const std::function<CUresult(state &, device &)> &body) {
  return driver_call(name, INITIALISED, text("device=%d", ordinal) + arguments, [&](state &s, context *) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || (size_t)ordinal >= s.devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    return body(s, s.devices[(size_t)ordinal]);
  });
}

DRIVER_API cuDeviceGet(CUdevice *out, int ordinal) {
  return device_call("cuDeviceGet", ordinal, "", out, [&](state &, device &) {
    *out = ordinal;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuDeviceGetName(char *out, int size, CUdevice ordinal) {
  return device_call("cuDeviceGetName", ordinal, "", out, [&](state &, device &d) {
    if (size <= 0) return CUDA_ERROR_INVALID_VALUE;
    size_t length = std::min(d.name.size(), (size_t)size - 1);
    memcpy(out, d.name.data(), length);
    out[length] = 0;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuDeviceTotalMem_v2(size_t *out, CUdevice ordinal) {
  return device_call("cuDeviceTotalMem_v2", ordinal, "", out, [&](state &, device &d) {
    *out = d.memory;
    return CUDA_SUCCESS;
  });
}

// Those that mean something here; all others that CUDA has are 0.
static int attribute_of(const device &d, int ordinal, int attribute) {
  switch (attribute) {
  case 1: return 1024;          // threads per block
  case 2: return 1024;          // block x, y, z
  case 3: return 1024;
  case 4: return 64;
  case 5: return 0x7fffffff;    // grid x, y, z
  case 6: return 65535;
  case 7: return 65535;
  case 8: return 48 * 1024;     // shared memory per block
  case 9: return 64 * 1024;     // constant memory
  case 10: return 32;           // warp
  case 12: return 65536;        // registers per block
  case 13: return 1980000;      // clock, kHz
  case 16: return d.sms;
  case 31: return 1;            // concurrent kernels
  case 33: return ordinal + 1;  // PCI bus
  case 36: return 2619000;      // memory clock, kHz
  case 37: return 5120;         // memory bus, bits
  case 38: return (int)d.l2;
  case 39: return d.threads_sm;
  case 40: return 3;            // copy engines
  case 41: return 1;            // unified addressing
  case 75: return d.sm / 10;
  case 76: return d.sm % 10;
  case 78: return 1;            // stream priorities
  case 81: return (int)d.shared_sm;
  case 82: return 65536;        // registers per SM
  case 95: return 1;            // cooperative launch
  case 97: return (int)d.shared_block;
  case 106: return d.blocks_sm;
  case 111: return 1024;        // shared memory that the driver keeps per block
  case 120: return d.sm >= 90;  // clusters
  default: return 0;
  }
}

DRIVER_API cuDeviceGetAttribute(int *out, int attribute, CUdevice ordinal) {
  return device_call("cuDeviceGetAttribute", ordinal, text(" attribute=%d", attribute), out, [&](state &, device &d) {
    if (attribute < 1 || attribute > 150) return CUDA_ERROR_INVALID_VALUE;
    *out = attribute_of(d, ordinal, attribute);
    return CUDA_SUCCESS;
  });
}

// ---- Contexts -------------------------------------------------------------------

static context make_context(uintptr_t id, int ordinal, bool primary) {
  context c = {id, ordinal, primary, 1, CUDA_SUCCESS, {}, {}};
  c.legacy.id = id + STREAM_LEGACY;
  c.per_thread.id = id + STREAM_PER_THREAD;
  c.legacy.context = c.per_thread.context = id;
  return c;
}

// The primary context of a device has the same handle whenever it lives.
static uintptr_t primary_handle(int ordinal) {
  static std::map<int, uintptr_t> handles;
  uintptr_t &handle = handles[ordinal];
  if (!handle) handle = new_handle();
  return handle;
}

DRIVER_API cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice ordinal) {
  return device_call("cuDevicePrimaryCtxRetain", ordinal, "", out, [&](state &s, device &) {
    uintptr_t id = primary_handle(ordinal);
    context *c = find(s.contexts, id);
    if (c) c->references++;
    else s.contexts[id] = make_context(id, ordinal, true);
    *out = (CUcontext)id;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
  return driver_call("cuDevicePrimaryCtxRelease_v2", INITIALISED | GIVES_BACK, text("device=%d", ordinal),
                     [&](state &s, context *) -> CUresult {
                       if (ordinal < 0 || (size_t)ordinal >= s.devices.size()) return CUDA_ERROR_INVALID_DEVICE;
                       uintptr_t id = primary_handle(ordinal);
                       context *c = find(s.contexts, id);
                       if (!c) return CUDA_ERROR_INVALID_CONTEXT;
                       if (--c->references) return CUDA_SUCCESS;
                       empty_context(s, id);
                       s.contexts.erase(id);
                       return CUDA_SUCCESS;
                     });
}

DRIVER_API cuCtxCreate_v2(CUcontext *out, unsigned flags, CUdevice ordinal) {
  return device_call("cuCtxCreate_v2", ordinal, text(" flags=%u", flags), out, [&](state &s, device &) {
    if (refuse_in_capture(s)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    uintptr_t id = new_handle();
    s.contexts[id] = make_context(id, ordinal, false);
    current_contexts().push_back(id);
    *out = (CUcontext)id;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuCtxDestroy_v2(CUcontext which) {
  return driver_call("cuCtxDestroy_v2", INITIALISED | NOT_IN_CAPTURE | GIVES_BACK, text("context=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       context *c = find(s.contexts, which);
                       if (!c || c->primary) return CUDA_ERROR_INVALID_CONTEXT;
                       auto &stack = current_contexts();
                       if (!stack.empty() && stack.back() == (uintptr_t)which) stack.pop_back();
                       empty_context(s, (uintptr_t)which);
                       s.contexts.erase((uintptr_t)which);
                       return CUDA_SUCCESS;
                     });
}

DRIVER_API cuCtxGetCurrent(CUcontext *out) {
  return driver_call("cuCtxGetCurrent", INITIALISED, "", [&](state &, context *) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    auto &stack = current_contexts();
    *out = stack.empty() ? nullptr : (CUcontext)stack.back();
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuCtxSetCurrent(CUcontext which) {
  return driver_call("cuCtxSetCurrent", INITIALISED, text("context=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       if (which && !find(s.contexts, which)) return CUDA_ERROR_INVALID_CONTEXT;
                       auto &stack = current_contexts();
                       if (!stack.empty()) stack.pop_back();
                       if (which) stack.push_back((uintptr_t)which);
                       return CUDA_SUCCESS;
                     });
}

DRIVER_API cuCtxPushCurrent_v2(CUcontext which) {
  return driver_call("cuCtxPushCurrent_v2", INITIALISED, text("context=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       if (!find(s.contexts, which)) return CUDA_ERROR_INVALID_CONTEXT;
                       current_contexts().push_back((uintptr_t)which);
                       return CUDA_SUCCESS;
                     });
}

DRIVER_API cuCtxPopCurrent_v2(CUcontext *out) {
  return driver_call("cuCtxPopCurrent_v2", INITIALISED | GIVES_BACK, "", [&](state &, context *) -> CUresult {
    auto &stack = current_contexts();
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (out) *out = (CUcontext)stack.back();
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuCtxGetDevice(CUdevice *out) {
  return driver_call("cuCtxGetDevice", IN_CONTEXT, "", [&](state &, context *here) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = here->ordinal;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuCtxSynchronize(void) {
  return driver_call("cuCtxSynchronize", IN_CONTEXT | NOT_IN_CAPTURE, "", [&](state &s, context *here) -> CUresult {
    bool capturing = here->per_thread.capturing != nullptr;
    for (auto &st : s.streams)
      if (st.second.context == here->id && st.second.capturing) {
        st.second.capturing->invalid = true;
        capturing = true;
      }
    return capturing ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
  });
}

// SPDX-License-Identifier: MIT
//
// Modules, functions, launches.
#include "state.h"

#include <algorithm>
#include <cstring>

using namespace fakecuda;

// ---- Modules --------------------------------------------------------------------

// The log buffers that the caller gave. A driver writes the length back.
struct jit_logs {
  char *buffer[2] = {nullptr, nullptr}; // information, errors
  size_t size[2] = {0, 0};
  void **size_back[2] = {nullptr, nullptr};

  jit_logs(unsigned count, const int *options, void **values) {
    for (unsigned i = 0; i < count; i++) {
      if (options[i] == JIT_INFO_LOG_BUFFER) buffer[0] = (char *)values[i];
      if (options[i] == JIT_ERROR_LOG_BUFFER) buffer[1] = (char *)values[i];
      for (int which = 0; which < 2; which++)
        if (options[i] == (which ? JIT_ERROR_LOG_BUFFER_SIZE_BYTES : JIT_INFO_LOG_BUFFER_SIZE_BYTES)) {
          size[which] = (unsigned)(uintptr_t)values[i];
          size_back[which] = &values[i];
        }
    }
  }
  void write(int which, const std::string &log) {
    size_t length = 0;
    if (buffer[which] && size[which]) {
      length = std::min(log.size(), size[which] - 1);
      memcpy(buffer[which], log.data(), length);
      buffer[which][length] = 0;
    }
    if (size_back[which]) *size_back[which] = (void *)(uintptr_t)length;
  }
};

static std::string version_text(int version) { return text("%d.%d", version / 10, version % 10); }

static std::string target_text(const ptx_text &ptx) {
  return "sm_" + std::to_string(ptx.target) + (ptx.target_kind ? std::string(1, ptx.target_kind) : "");
}

// Would the driver's compiler take it for this device?
static CUresult judge(const ptx_text &ptx, const device &d, int driver, std::string *out_log) {
  int newest = ptx_version_of_driver(driver), oldest = ptx_version_of_target(ptx.target, ptx.target_kind);
  if (ptx.version > newest) {
    *out_log =
        "Unsupported .version " + version_text(ptx.version) + "; current version is '" + version_text(newest) + "'";
    return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  }
  if (ptx.version < oldest) {
    *out_log = "PTX .version " + version_text(oldest) + " or later is required for target " + target_text(ptx);
    return CUDA_ERROR_INVALID_PTX;
  }
  bool same_family = ptx.target / 10 == d.sm / 10 && ptx.target <= d.sm;
  bool fits = ptx.target_kind == 'a' ? ptx.target == d.sm : ptx.target_kind == 'f' ? same_family : ptx.target <= d.sm;
  if (fits) return CUDA_SUCCESS;
  *out_log = "SM version specified by .target " + target_text(ptx) + " does not run on sm_" + std::to_string(d.sm);
  return CUDA_ERROR_INVALID_PTX;
}

static CUresult load(state &s, context &here, const void *image, jit_logs &logs, CUmodule *out) {
  const char *bytes = (const char *)image;
  logs.write(0, "");
  logs.write(1, "");
  bool elf = !strncmp(bytes, "\x7f" "ELF", 4), fatbin = !strncmp(bytes, "P\xedU\xba", 4);
  if (elf || fatbin) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  auto ptx = std::make_shared<ptx_text>();
  std::string log;
  CUresult result = CUDA_ERROR_INVALID_PTX;
  if (parse_ptx(bytes, ptx.get(), &log)) {
    result = judge(*ptx, s.devices[(size_t)here.ordinal], s.driver_version, &log);
    log = "line 1; fatal   : " + log;
  }
  if (result) {
    s.message = "ptxas application ptx input, " + log;
    logs.write(1, s.message + "\n");
    return result;
  }
  uintptr_t id = new_handle();
  s.modules[id] = {here.id, ptx, {}};
  *out = (CUmodule)id;
  return CUDA_SUCCESS;
}

DRIVER_API cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned count, int *options, void **values) {
  return driver_call("cuModuleLoadDataEx", IN_CONTEXT | NOT_IN_CAPTURE, text("image=%p options=%u", image, count),
                     [&](state &s, context *here) -> CUresult {
                       if (!out || !image || (count && (!options || !values))) return CUDA_ERROR_INVALID_VALUE;
                       jit_logs logs(count, options, values);
                       return load(s, *here, image, logs, out);
                     });
}

DRIVER_API cuModuleUnload(CUmodule which) {
  return driver_call("cuModuleUnload", IN_CONTEXT | NOT_IN_CAPTURE | GIVES_BACK, text("module=%p", (void *)which),
                     [&](state &s, context *here) -> CUresult {
                       module *m = find(s.modules, which);
                       if (!m || m->context != here->id) return CUDA_ERROR_INVALID_HANDLE;
                       for (auto &f : m->functions) s.functions.erase(f.second);
                       s.modules.erase((uintptr_t)which);
                       return CUDA_SUCCESS;
                     });
}

// ---- Functions ------------------------------------------------------------------

static const int DYNAMIC_SHARED_DEFAULT = 48 * 1024;

DRIVER_API cuModuleGetFunction(CUfunction *out, CUmodule which, const char *name) {
  std::string arguments = text("module=%p name=%s", (void *)which, name ? name : "(null)");
  return driver_call("cuModuleGetFunction", IN_CONTEXT, arguments, [&](state &s, context *here) -> CUresult {
    if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
    module *m = find(s.modules, which);
    if (!m || m->context != here->id) return CUDA_ERROR_INVALID_HANDLE;
    uintptr_t &id = m->functions[name];
    if (!id) { // loaded lazily: now
      auto &entries = m->text->entries;
      auto entry = std::find_if(entries.begin(), entries.end(), [&](const ptx_entry &e) { return e.name == name; });
      bool refused = refuse_in_capture(s);
      if (refused || entry == entries.end()) {
        m->functions.erase(name);
        return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_ERROR_NOT_FOUND;
      }
      id = new_handle();
      s.functions[id] = {here->id, (uintptr_t)which, m->text, &*entry, DYNAMIC_SHARED_DEFAULT};
    }
    *out = (CUfunction)id;
    return CUDA_SUCCESS;
  });
}

static unsigned threads_most(const ptx_entry &e) {
  return e.threads_most[0] ? e.threads_most[0] * e.threads_most[1] * e.threads_most[2] : 1024;
}

DRIVER_API cuFuncGetAttribute(int *out, int attribute, CUfunction which) {
  std::string arguments = text("attribute=%d function=%p", attribute, (void *)which);
  return driver_call("cuFuncGetAttribute", INITIALISED, arguments, [&](state &s, context *) -> CUresult {
    const function *f = find(s.functions, which);
    if (!f) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || attribute < 0 || attribute >= FUNCTION_ATTRIBUTES) return CUDA_ERROR_INVALID_VALUE;
    const context *c = find(s.contexts, f->context);
    switch (attribute) {
    case FUNCTION_MAX_THREADS_PER_BLOCK: *out = (int)threads_most(*f->entry); break;
    case FUNCTION_SHARED_SIZE_BYTES: *out = (int)f->entry->shared_bytes; break;
    case FUNCTION_NUM_REGS: *out = 64; break;
    case FUNCTION_PTX_VERSION: *out = f->text->target; break;
    case FUNCTION_BINARY_VERSION: *out = s.devices[(size_t)c->ordinal].sm; break;
    case FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES: *out = f->dynamic_most; break;
    case FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT: *out = -1; break;
    default: *out = 0;
    }
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuFuncSetAttribute(CUfunction which, int attribute, int value) {
  std::string arguments = text("function=%p attribute=%d value=%d", (void *)which, attribute, value);
  return driver_call("cuFuncSetAttribute", INITIALISED, arguments, [&](state &s, context *) -> CUresult {
    function *f = find(s.functions, which);
    if (!f) return CUDA_ERROR_INVALID_HANDLE;
    uint64_t most = s.devices[(size_t)find(s.contexts, f->context)->ordinal].shared_block;
    switch (attribute) {
    case FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      if (value < 0 || (uint64_t)value + f->entry->shared_bytes > most) return CUDA_ERROR_INVALID_VALUE;
      f->dynamic_most = value;
      return CUDA_SUCCESS;
    case FUNCTION_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return value < -1 || value > 100 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    case FUNCTION_NON_PORTABLE_CLUSTER_SIZE_ALLOWED: return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE; // read-only
    }
  });
}

DRIVER_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *out, CUfunction which, int threads, size_t dynamic_bytes) {
  std::string arguments = text("function=%p threads=%d dynamic=%zu", (void *)which, threads, dynamic_bytes);
  return driver_call("cuOccupancyMaxActiveBlocksPerMultiprocessor", INITIALISED, arguments,
                     [&](state &s, context *) -> CUresult {
                       const function *f = find(s.functions, which);
                       if (!f) return CUDA_ERROR_INVALID_HANDLE;
                       if (!out || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
                       const device &d = s.devices[(size_t)find(s.contexts, f->context)->ordinal];
                       size_t shared = f->entry->shared_bytes + dynamic_bytes;
                       int blocks = std::min(d.threads_sm / ((threads + 31) / 32 * 32), d.blocks_sm);
                       blocks = (int)std::min((uint64_t)blocks, d.shared_sm / (shared + 1024));
                       bool fits =
                           (unsigned)threads <= threads_most(*f->entry) && dynamic_bytes <= (size_t)f->dynamic_most;
                       *out = fits ? blocks : 0;
                       return CUDA_SUCCESS;
                     });
}

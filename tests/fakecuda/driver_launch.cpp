// SPDX-License-Identifier: MIT
//
// Launches: checked against the PTX and the device as a driver does, then against
// the kernel that is compiled in, then run.
#include "state.h"

#include <cstring>

using namespace fakecuda;

namespace {

struct launch_request {
  uintptr_t function;
  coordinates blocks, threads;
  unsigned dynamic_bytes;
  CUstream stream;
  bool programmatic;
  void **parameters, **extra;
};

struct alignas(64) parameter_chunk {
  unsigned char bytes[64];
};

// A launch with its own copy of the parameters, which a graph can keep.
struct prepared_launch {
  launch_request request;
  uintptr_t context;
  const kernel *what;
  std::vector<size_t> offsets;
  std::vector<parameter_chunk> block;
};

CUresult refuse(state &s, const function &f, CUresult code, const std::string &why) {
  s.message = "launch of " + f.entry->name + ": " + why;
  return code;
}

bool within(const coordinates &c, uint32_t x, uint32_t y, uint32_t z) {
  return c.x && c.y && c.z && c.x <= x && c.y <= y && c.z <= z;
}

CUresult check_shape(state &s, const function &f, const device &d, const launch_request &r) {
  const coordinates &t = r.threads;
  const uint32_t *most = f.entry->threads_most;
  if (!within(r.blocks, 0x7fffffff, 65535, 65535))
    return refuse(s, f, CUDA_ERROR_INVALID_VALUE, text("grid %u x %u x %u", r.blocks.x, r.blocks.y, r.blocks.z));
  if (!within(t, 1024, 1024, 64) || (uint64_t)t.x * t.y * t.z > 1024)
    return refuse(s, f, CUDA_ERROR_INVALID_VALUE, text("block %u x %u x %u", t.x, t.y, t.z));
  if (r.blocks.x % f.entry->cluster)
    return refuse(s, f, CUDA_ERROR_INVALID_VALUE, text("grid %u is not a multiple of .reqnctapercluster", r.blocks.x));
  if (f.entry->threads_exact && (t.x != most[0] || t.y != most[1] || t.z != most[2]))
    return refuse(s, f, CUDA_ERROR_INVALID_VALUE, text("block %u x %u x %u is not .reqntid", t.x, t.y, t.z));
  if (most[0] && t.x * t.y * t.z > most[0] * most[1] * most[2])
    return refuse(s, f, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
                  text("%u threads, .maxntid allows %u", t.x * t.y * t.z, most[0] * most[1] * most[2]));
  if (r.dynamic_bytes > (unsigned)f.dynamic_most || r.dynamic_bytes + f.entry->shared_bytes > d.shared_block)
    return refuse(s, f, CUDA_ERROR_INVALID_VALUE,
                  text("%u bytes of dynamic shared memory beside %zu static, %d allowed", r.dynamic_bytes,
                       f.entry->shared_bytes, f.dynamic_most));
  if (r.programmatic && d.sm < 90)
    return refuse(s, f, CUDA_ERROR_NOT_SUPPORTED, text("programmatic stream serialization on sm_%d", d.sm));
  return CUDA_SUCCESS;
}

// Is the host's kernel the one that the PTX has?
CUresult check_twin(state &s, const function &f, const kernel *k) {
  const ptx_entry &e = *f.entry;
  std::string why;
  if (!k) why = "no such kernel is compiled into the stand-in";
  else if (k->parameters.size() != e.parameters.size())
    why = text("the PTX has %zu parameters, the source %zu", e.parameters.size(), k->parameters.size());
  else if (e.threads_most[0] * e.threads_most[1] * e.threads_most[2] != k->threads)
    why = text("the PTX has .maxntid %u, the source %u", e.threads_most[0], k->threads);
  else
    for (size_t i = 0; i < e.parameters.size() && why.empty(); i++)
      if (e.parameters[i].size != k->parameters[i].size || e.parameters[i].align != k->parameters[i].align)
        why = text("parameter %zu has %zu bytes aligned to %zu in the PTX, %zu aligned to %zu in the source", i,
                   e.parameters[i].size, e.parameters[i].align, k->parameters[i].size, k->parameters[i].align);
  if (why.empty() && e.cluster != k->cluster)
    why = text("the PTX has clusters of %u blocks, the source of %u", e.cluster, k->cluster);
  if (why.empty()) return CUDA_SUCCESS;
  report(s, "launch of " + e.name + ": " + why);
  return CUDA_ERROR_LAUNCH_FAILED;
}

// The buffer that `extra` gives, if it is of that size.
const unsigned char *extra_buffer(void **extra, size_t least, size_t most) {
  const unsigned char *buffer = nullptr;
  size_t size = 0;
  for (; (uintptr_t)extra[0] != LAUNCH_PARAM_END; extra += 2) {
    if ((uintptr_t)extra[0] == LAUNCH_PARAM_BUFFER_POINTER) buffer = (const unsigned char *)extra[1];
    else if ((uintptr_t)extra[0] == LAUNCH_PARAM_BUFFER_SIZE) size = *(const size_t *)extra[1];
    else return nullptr;
  }
  return size >= least && size <= most ? buffer : nullptr;
}

CUresult copy_parameters(state &s, const function &f, const launch_request &r, prepared_launch &p) {
  size_t bytes = 0, align = 1;
  for (const parameter_layout &one : f.entry->parameters) {
    bytes = (bytes + one.align - 1) / one.align * one.align;
    align = std::max(align, one.align);
    p.offsets.push_back(bytes);
    bytes += one.size;
  }
  p.block.resize(bytes / sizeof(parameter_chunk) + 1);
  unsigned char *block = p.block[0].bytes;
  if (r.parameters && r.extra) return refuse(s, f, CUDA_ERROR_INVALID_VALUE, "both kernelParams and extra");
  if (r.extra) {
    const unsigned char *buffer = extra_buffer(r.extra, bytes, (bytes + align - 1) / align * align);
    if (!buffer)
      return refuse(s, f, CUDA_ERROR_INVALID_VALUE, text("extra does not hold %zu bytes of parameters", bytes));
    memcpy(block, buffer, bytes);
    return CUDA_SUCCESS;
  }
  for (size_t i = 0; i < p.offsets.size(); i++) {
    if (!r.parameters || !r.parameters[i])
      return refuse(s, f, CUDA_ERROR_INVALID_VALUE, text("parameter %zu is missing", i));
    memcpy(block + p.offsets[i], r.parameters[i], f.entry->parameters[i].size);
  }
  return CUDA_SUCCESS;
}

CUresult run(state &s, prepared_launch &p) {
  const launch_request &r = p.request;
  context *here = find(s.contexts, p.context);
  if (!here || !find(s.functions, r.function)) {
    report(s, std::string("launch of ") + p.what->name + ": its module is not loaded any more");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (here->broken) return here->broken;
  fakecuda_launch &last = s.last_launch;
  last = {{0}, {r.blocks.x, r.blocks.y, r.blocks.z}, {r.threads.x, r.threads.y, r.threads.z},
          r.dynamic_bytes, r.programmatic, last.count + 1};
  strncpy(last.name, p.what->name, sizeof last.name - 1);

  std::vector<void *> parameters;
  for (size_t offset : p.offsets) parameters.push_back(p.block[0].bytes + offset);
  uint64_t seed = s.shuffle ? s.shuffle * 0x9e3779b97f4a7c15u + last.count : 0;
  grid_launch grid = {p.what,         r.blocks, r.threads, r.dynamic_bytes, parameters.data(),
                      r.programmatic, seed,     s.resident};
  std::string message;
  here->broken = run_grid(grid, &message);
  if (here->broken) report(s, message);
  return here->broken;
}

CUresult prepare(state &s, context &here, const launch_request &r) {
  const function *f = find(s.functions, r.function);
  if (!f || f->context != here.id) return CUDA_ERROR_INVALID_HANDLE;
  s.note = "name=" + f->entry->name;
  CUresult result = check_shape(s, *f, s.devices[(size_t)here.ordinal], r);
  if (result) return result;
  auto p = std::make_shared<prepared_launch>();
  p->request = r;
  p->context = here.id;
  result = copy_parameters(s, *f, r, *p);
  if (result) return result;
  p->what = find_kernel(f->entry->name);
  result = check_twin(s, *f, p->what);
  if (result) return result;
  return enqueue(s, here, r.stream, [p](state &later) { return run(later, *p); });
}

std::string text_of(const launch_request &r) {
  return text("function=%p grid=%u,%u,%u block=%u,%u,%u shared=%u stream=%p programmatic=%d", (void *)r.function,
              r.blocks.x, r.blocks.y, r.blocks.z, r.threads.x, r.threads.y, r.threads.z, r.dynamic_bytes,
              (void *)r.stream, r.programmatic);
}

} // namespace

DRIVER_API cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned dynamic_bytes, CUstream stream,
                          void **parameters, void **extra) {
  launch_request r = {(uintptr_t)function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, dynamic_bytes, stream,
                      false, parameters, extra};
  return driver_call("cuLaunchKernel", IN_CONTEXT, text_of(r),
                     [&](state &s, context *here) { return prepare(s, *here, r); });
}

DRIVER_API cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra) {
  launch_request r = {};
  bool known = true;
  if (config) {
    const unsigned *g = config->grid, *b = config->block;
    r = {(uintptr_t)function, {g[0], g[1], g[2]}, {b[0], b[1], b[2]}, config->shared_bytes, config->stream,
         false, parameters, extra};
    for (unsigned i = 0; config->attributes && i < config->attribute_count; i++) {
      const CUlaunchAttribute &a = config->attributes[i];
      if (a.id == LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION) r.programmatic = a.value.number != 0;
      else if (a.id != LAUNCH_IGNORE && a.id != LAUNCH_PRIORITY) known = false;
    }
    if (config->attribute_count && !config->attributes) known = false;
  }
  return driver_call("cuLaunchKernelEx", IN_CONTEXT, text_of(r), [&](state &s, context *here) -> CUresult {
    if (!config || !known) return CUDA_ERROR_INVALID_VALUE;
    return prepare(s, *here, r);
  });
}

// SPDX-License-Identifier: MIT
//
// Events and graphs.
#include "state.h"

#include <ctime>

using namespace fakecuda;

// ---- Events ---------------------------------------------------------------------

static double milliseconds_now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

DRIVER_API cuEventCreate(CUevent *out, unsigned flags) {
  return driver_call("cuEventCreate", IN_CONTEXT, text("flags=%u", flags), [&](state &s, context *here) -> CUresult {
    if (!out || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    uintptr_t id = new_handle();
    s.events[id] = {here->id, flags, false, 0, nullptr, {}};
    *out = (CUevent)id;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuEventDestroy_v2(CUevent which) {
  return driver_call("cuEventDestroy_v2", INITIALISED | GIVES_BACK, text("event=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       return s.events.erase((uintptr_t)which) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
                     });
}

// In a capture the event stands for a place in the graph; outside for a time.
DRIVER_API cuEventRecord(CUevent which, CUstream on) {
  std::string arguments = text("event=%p stream=%p", (void *)which, (void *)on);
  return driver_call("cuEventRecord", IN_CONTEXT, arguments, [&](state &s, context *here) -> CUresult {
    event *e = find(s.events, which);
    if (!e || e->context != here->id) return CUDA_ERROR_INVALID_HANDLE;
    stream *st = find_stream(s, *here, on);
    if (!st) return CUDA_ERROR_INVALID_HANDLE;
    if (st->capturing) {
      capture &c = *st->capturing;
      if (c.invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      e->captured = st->capturing;
      e->seen = c.seen[st->id];
      return CUDA_SUCCESS;
    }
    return enqueue(s, *here, on, [=](state &) {
      e->captured = nullptr;
      e->recorded = true;
      e->time = milliseconds_now();
      return CUDA_SUCCESS;
    });
  });
}

DRIVER_API cuEventSynchronize(CUevent which) {
  return driver_call("cuEventSynchronize", INITIALISED | NOT_IN_CAPTURE, text("event=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       const event *e = find(s.events, which);
                       if (!e) return CUDA_ERROR_INVALID_HANDLE;
                       if (!e->captured) return find(s.contexts, e->context)->broken;
                       if (!e->captured->over) e->captured->invalid = true;
                       return CUDA_ERROR_CAPTURED_EVENT;
                     });
}

DRIVER_API cuEventElapsedTime(float *out, CUevent from, CUevent to) {
  std::string arguments = text("from=%p to=%p", (void *)from, (void *)to);
  return driver_call("cuEventElapsedTime", INITIALISED, arguments, [&](state &s, context *) -> CUresult {
    const event *a = find(s.events, from), *b = find(s.events, to);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!a || !b) return CUDA_ERROR_INVALID_HANDLE;
    if (a->captured || b->captured) return CUDA_ERROR_CAPTURED_EVENT;
    if (!a->recorded || !b->recorded || (a->flags | b->flags) & EVENT_DISABLE_TIMING) return CUDA_ERROR_INVALID_HANDLE;
    *out = (float)(b->time - a->time);
    return CUDA_SUCCESS;
  });
}

// ---- Graphs ---------------------------------------------------------------------

DRIVER_API cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph which, unsigned long long flags) {
  std::string arguments = text("graph=%p flags=%llu", (void *)which, flags);
  return driver_call("cuGraphInstantiateWithFlags", INITIALISED, arguments, [&](state &s, context *) -> CUresult {
    const graph *g = find(s.graphs, which);
    if (!g) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || flags & ~15ull) return CUDA_ERROR_INVALID_VALUE;
    uintptr_t id = new_handle();
    s.graph_execs[id] = *g;
    *out = (CUgraphExec)id;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuGraphLaunch(CUgraphExec which, CUstream on) {
  std::string arguments = text("graph_exec=%p stream=%p", (void *)which, (void *)on);
  return driver_call("cuGraphLaunch", IN_CONTEXT, arguments, [&](state &s, context *here) -> CUresult {
    const graph *g = find(s.graph_execs, which);
    if (!g || g->context != here->id) return CUDA_ERROR_INVALID_HANDLE;
    return enqueue(s, *here, on, [operations = g->operations](state &later) -> CUresult {
      for (const operation &o : operations) {
        CUresult result = o(later);
        if (result) return result;
      }
      return CUDA_SUCCESS;
    });
  });
}

DRIVER_API cuGraphExecDestroy(CUgraphExec which) {
  return driver_call("cuGraphExecDestroy", INITIALISED | GIVES_BACK, text("graph_exec=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       return s.graph_execs.erase((uintptr_t)which) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
                     });
}

DRIVER_API cuGraphDestroy(CUgraph which) {
  return driver_call("cuGraphDestroy", INITIALISED | GIVES_BACK, text("graph=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       return s.graphs.erase((uintptr_t)which) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
                     });
}

// SPDX-License-Identifier: MIT
//
// Streams and their capture. Work runs at once, in the order of the calls.
#include "state.h"

#include <algorithm>

namespace fakecuda {

stream *find_stream(state &s, context &here, CUstream handle) {
  if ((uintptr_t)handle == STREAM_DEFAULT || (uintptr_t)handle == STREAM_LEGACY) return &here.legacy;
  if ((uintptr_t)handle == STREAM_PER_THREAD) return &here.per_thread;
  stream *st = find(s.streams, handle);
  return st && st->context == here.id ? st : nullptr;
}

bool refuse_in_capture(state &s) {
  bool refused = false;
  for (auto &c : s.captures) {
    bool mine = c->thread == std::this_thread::get_id();
    if (c->mode == CAPTURE_RELAXED || (c->mode == CAPTURE_THREAD_LOCAL && !mine)) continue;
    c->invalid = refused = true;
  }
  return refused;
}

static bool is_capturing_blocking_stream(const stream &st, const context &here) {
  return st.context == here.id && st.capturing && !(st.flags & STREAM_NON_BLOCKING);
}

// The legacy stream waits for every blocking stream, so it cannot be used while
// one of these is being captured.
static bool spoils_capture(state &s, const context &here, const stream &st) {
  if (&st != &here.legacy) return false;
  bool spoils = false;
  auto spoil = [&](const stream &other) {
    if (!is_capturing_blocking_stream(other, here)) return;
    other.capturing->invalid = spoils = true;
  };
  spoil(here.per_thread);
  for (auto &other : s.streams) spoil(other.second);
  return spoils;
}

CUresult enqueue(state &s, context &here, CUstream handle, operation what) {
  stream *st = find_stream(s, here, handle);
  if (!st) return CUDA_ERROR_INVALID_HANDLE;
  if (spoils_capture(s, here, *st)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  if (!st->capturing) return what(s);
  capture &c = *st->capturing;
  if (c.invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  c.operations.push_back(what);
  c.seen[st->id][st->id] = ++c.steps[st->id];
  return CUDA_SUCCESS;
}

static void merge(stream_clock &into, const stream_clock &from) {
  for (auto &step : from) into[step.first] = std::max(into[step.first], step.second);
}

static void end_capture(state &s, const std::shared_ptr<capture> &c) {
  c->over = true;
  for (auto &st : s.streams)
    if (st.second.capturing == c) st.second.capturing.reset();
  for (auto &here : s.contexts)
    if (here.second.per_thread.capturing == c) here.second.per_thread.capturing.reset();
  s.captures.erase(std::find(s.captures.begin(), s.captures.end(), c));
}

static bool all_joined(capture &c) {
  for (auto &step : c.steps)
    if (c.seen[c.origin][step.first] < step.second) return false;
  return true;
}

static CUresult refuse_wait(capture &c, CUresult why) {
  c.invalid = true;
  return why;
}

static CUresult wait_event(stream &st, event &e) {
  if (!e.captured) {
    if (!st.capturing || !e.recorded) return CUDA_SUCCESS; // all recorded work is done
    return refuse_wait(*st.capturing, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  }
  capture &c = *e.captured;
  if (c.over) return CUDA_ERROR_CAPTURED_EVENT;
  if (st.capturing && st.capturing != e.captured) {
    c.invalid = true;
    return refuse_wait(*st.capturing, CUDA_ERROR_STREAM_CAPTURE_MERGE);
  }
  if (!st.capturing) { // joins; the origin must wait for it before the end
    st.capturing = e.captured;
    c.seen[st.id][st.id] = ++c.steps[st.id];
  }
  merge(c.seen[st.id], e.seen);
  return CUDA_SUCCESS;
}

} // namespace fakecuda

using namespace fakecuda;

DRIVER_API cuStreamCreate(CUstream *out, unsigned flags) {
  return driver_call("cuStreamCreate", IN_CONTEXT, text("flags=%u", flags), [&](state &s, context *here) -> CUresult {
    if (!out || flags & ~STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    uintptr_t id = new_handle();
    s.streams[id] = {id, here->id, flags, nullptr};
    *out = (CUstream)id;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuStreamDestroy_v2(CUstream which) {
  return driver_call("cuStreamDestroy_v2", INITIALISED | GIVES_BACK, text("stream=%p", (void *)which),
                     [&](state &s, context *) -> CUresult {
                       stream *st = find(s.streams, which);
                       if (!st) return CUDA_ERROR_INVALID_HANDLE;
                       if (st->capturing) {
                         st->capturing->invalid = true;
                         return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
                       }
                       s.streams.erase((uintptr_t)which);
                       return CUDA_SUCCESS;
                     });
}

typedef std::function<CUresult(state &, context &, stream &)> stream_body;
static CUresult stream_call(const char *name, unsigned needs, CUstream handle, const std::string &arguments,
                            const stream_body &body) {
  return driver_call(name, IN_CONTEXT | needs, text("stream=%p", (void *)handle) + arguments,
                     [&](state &s, context *here) -> CUresult {
                       stream *st = find_stream(s, *here, handle);
                       return st ? body(s, *here, *st) : CUDA_ERROR_INVALID_HANDLE;
                     });
}

DRIVER_API cuStreamSynchronize(CUstream which) {
  return stream_call("cuStreamSynchronize", NOT_IN_CAPTURE, which, "",
                     [](state &s, context &here, stream &st) -> CUresult {
                       if (spoils_capture(s, here, st)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
                       if (!st.capturing) return CUDA_SUCCESS;
                       st.capturing->invalid = true;
                       return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
                     });
}

// ---- Capture --------------------------------------------------------------------

DRIVER_API cuStreamIsCapturing(CUstream which, int *out) {
  return stream_call("cuStreamIsCapturing", 0, which, "", [&](state &s, context &here, stream &st) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (spoils_capture(s, here, st)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    *out = !st.capturing           ? CAPTURE_STATUS_NONE
           : st.capturing->invalid ? CAPTURE_STATUS_INVALIDATED
                                   : CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuStreamBeginCapture_v2(CUstream which, int mode) {
  return stream_call("cuStreamBeginCapture_v2", 0, which, text(" mode=%d", mode),
                     [&](state &s, context &here, stream &st) -> CUresult {
                       if (mode < CAPTURE_GLOBAL || mode > CAPTURE_RELAXED) return CUDA_ERROR_INVALID_VALUE;
                       if (&st == &here.legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
                       if (st.capturing) return CUDA_ERROR_ILLEGAL_STATE;
                       auto c = std::make_shared<capture>();
                       c->origin = st.id;
                       c->context = here.id;
                       c->mode = mode;
                       c->thread = std::this_thread::get_id();
                       st.capturing = c;
                       s.captures.push_back(c);
                       return CUDA_SUCCESS;
                     });
}

DRIVER_API cuStreamEndCapture(CUstream which, CUgraph *out) {
  if (out) *out = nullptr;
  return stream_call("cuStreamEndCapture", GIVES_BACK, which, "", [&](state &s, context &here, stream &st) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<capture> c = st.capturing;
    if (!c) return CUDA_ERROR_ILLEGAL_STATE;
    if (c->mode != CAPTURE_RELAXED && c->thread != std::this_thread::get_id())
      return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (c->origin != st.id) return refuse_wait(*c, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    end_capture(s, c);
    if (c->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!all_joined(*c)) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    if (s.failing) return CUDA_SUCCESS; // the caller will see a failure, so it gets no graph
    uintptr_t id = new_handle();
    s.graphs[id] = {here.id, c->operations};
    *out = (CUgraph)id;
    return CUDA_SUCCESS;
  });
}

DRIVER_API cuStreamWaitEvent(CUstream which, CUevent handle, unsigned flags) {
  return stream_call("cuStreamWaitEvent", 0, which, text(" event=%p flags=%u", (void *)handle, flags),
                     [&](state &s, context &here, stream &st) -> CUresult {
                       event *e = find(s.events, handle);
                       if (!e) return CUDA_ERROR_INVALID_HANDLE;
                       if (flags) return CUDA_ERROR_INVALID_VALUE;
                       if (spoils_capture(s, here, st)) return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
                       if (st.capturing && st.capturing->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
                       return wait_event(st, *e);
                     });
}

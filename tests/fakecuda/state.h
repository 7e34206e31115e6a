// SPDX-License-Identifier: MIT
//
// Everything the stand-in driver knows, and the frame that all its calls share. One
// lock covers a whole call, kernels included.
#pragma once

#include "driver.h"
#include "fakecuda.h"
#include "ptx.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

namespace fakecuda {

struct state;

struct device {
  std::string name;
  int sm, sms;
  uint64_t l2, shared_block, shared_sm, memory;
  int threads_sm, blocks_sm;
};

// What a stream is asked to do, with copies of all arguments.
typedef std::function<CUresult(state &)> operation;

typedef std::map<uintptr_t, uint64_t> stream_clock; // steps seen of each stream

struct capture {
  uintptr_t origin, context; // the stream it began on
  int mode;
  std::thread::id thread;
  bool invalid, over;
  std::vector<operation> operations; // in order of the calls, which fits every dependency
  stream_clock steps;
  std::map<uintptr_t, stream_clock> seen; // by each stream
};

struct stream {
  uintptr_t id, context;
  unsigned flags;
  std::shared_ptr<capture> capturing;
};

struct context {
  uintptr_t id;
  int ordinal;
  bool primary;
  unsigned references;
  CUresult broken; // by a kernel that failed
  stream legacy, per_thread;
};

struct allocation {
  uintptr_t context;
  size_t bytes;
};

struct module {
  uintptr_t context;
  std::shared_ptr<ptx_text> text;
  std::map<std::string, uintptr_t> functions; // those asked for
};

struct function {
  uintptr_t context, module;
  std::shared_ptr<ptx_text> text;
  const ptx_entry *entry;
  int dynamic_most; // shared bytes
};

struct event {
  uintptr_t context;
  unsigned flags;
  bool recorded;
  double time; // ms
  std::shared_ptr<capture> captured;
  stream_clock seen;
};

struct graph {
  uintptr_t context;
  std::vector<operation> operations;
};

struct planned_failure {
  std::string name;
  CUresult code;
  uint64_t at; // which call of that name; 0: every one
};

struct state {
  // The machine, from the environment.
  std::vector<device> devices;
  int driver_version;
  uint64_t shuffle;
  unsigned resident;
  int log; // file descriptor or -1
  std::vector<planned_failure> failures;

  pid_t initialised_in; // 0: not
  std::map<uintptr_t, context> contexts;
  std::map<uintptr_t, allocation> allocations, host_allocations;
  std::map<uintptr_t, module> modules;
  std::map<uintptr_t, function> functions;
  std::map<uintptr_t, stream> streams;
  std::map<uintptr_t, event> events;
  std::map<uintptr_t, graph> graphs, graph_execs;
  std::vector<std::shared_ptr<capture>> captures; // under way
  fakecuda_counts leaked;

  std::map<std::string, uint64_t> calls;
  uint64_t call_count;
  uint64_t fail_in; // calls until the planned failure; 0: none
  CUresult fail_with;
  std::map<std::string, CUresult> fail_calls;
  bool failing; // the call under way will report a planned failure
  std::string message;
  std::string note; // for the log, of the call under way
  fakecuda_launch last_launch;
};

// What a call needs before its body runs, and what it is.
enum : unsigned {
  ANY_TIME = 0,
  INITIALISED = 1,
  IN_CONTEXT = 2 | INITIALISED,
  NOT_IN_CAPTURE = 4, // "potentially unsafe": refused, and the capture spoiled
  GIVES_BACK = 8      // does its work even when it reports a failure
};

// `here` is the current context, or null without IN_CONTEXT.
typedef std::function<CUresult(state &s, context *here)> call_body;
CUresult driver_call(const char *name, unsigned needs, const std::string &arguments, const call_body &body);

std::string text(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Tells stderr and keeps the message.
void report(state &s, const std::string &message);

uintptr_t new_handle();
template <class T, class Handle>
T *find(std::map<uintptr_t, T> &in, Handle handle) {
  auto found = in.find((uintptr_t)handle);
  return found == in.end() ? nullptr : &found->second;
}

// Frees all that lives in the context; counts it as leaked.
void empty_context(state &s, uintptr_t context_id);
void read_environment(state &s);
std::vector<uintptr_t> &current_contexts(); // of this thread; the last is current

// ---- Streams and capture (stream.cpp) ------------------------------------------

// Null when it is not a stream of this context.
stream *find_stream(state &s, context &here, CUstream handle);
// Runs the operation now, or puts it into the graph that the stream captures.
CUresult enqueue(state &s, context &here, CUstream handle, operation what);
// Is this thread barred from unsafe calls? If so the captures in question are spoiled.
bool refuse_in_capture(state &s);

} // namespace fakecuda

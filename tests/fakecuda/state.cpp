// SPDX-License-Identifier: MIT
#include "state.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <unistd.h>

namespace fakecuda {
namespace {

std::mutex lock;
state *the_state; // never destroyed: a host may call until its last moment
uint64_t restarts;
thread_local std::string told_message;

state &get_state() {
  if (!the_state) {
    the_state = new state();
    the_state->log = -1;
    read_environment(*the_state);
  }
  return *the_state;
}

CUresult planned(state &s, const char *name) {
  uint64_t nth = ++s.calls[name];
  s.call_count++;
  if (s.fail_in && --s.fail_in == 0) return s.fail_with;
  for (const planned_failure &f : s.failures)
    if (f.name == name && (!f.at || f.at == nth)) return f.code;
  auto found = s.fail_calls.find(name);
  return found == s.fail_calls.end() ? CUDA_SUCCESS : found->second;
}

CUresult checked(state &s, unsigned needs, const call_body &body) {
  // A child of fork() has no driver, as with the real one.
  bool forked = s.initialised_in && s.initialised_in != getpid();
  if ((needs & INITIALISED && !s.initialised_in) || forked) return CUDA_ERROR_NOT_INITIALIZED;
  context *here = nullptr;
  CUresult broken = CUDA_SUCCESS;
  if ((needs & IN_CONTEXT) == IN_CONTEXT) {
    auto &stack = current_contexts();
    if (stack.empty() || !stack.back()) return CUDA_ERROR_INVALID_CONTEXT;
    here = find(s.contexts, stack.back());
    if (!here) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    broken = here->broken;
    if (broken && !(needs & GIVES_BACK)) return broken;
  }
  if (needs & NOT_IN_CAPTURE && refuse_in_capture(s)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  CUresult result = body(s, here);
  return result ? result : broken;
}

void write_log(state &s, const char *name, const std::string &arguments, CUresult result) {
  if (s.log < 0) return;
  std::string line = name;
  for (const std::string &part : {arguments, s.note})
    if (!part.empty()) line += " " + part;
  line += " -> " + std::to_string(result) + "\n";
  if (write(s.log, line.data(), line.size()) < 0) perror("fakecuda: FAKECUDA_LOG");
}

void forget(state &s) {
  s.calls.clear();
  s.call_count = s.fail_in = 0;
  s.fail_calls.clear();
  s.message.clear();
  s.last_launch = fakecuda_launch();
  for (auto &c : s.contexts) c.second.broken = CUDA_SUCCESS;
}

template <class T>
uint64_t erase_of(std::map<uintptr_t, T> &from, uintptr_t context_id) {
  uint64_t count = 0;
  for (auto it = from.begin(); it != from.end();) {
    if (it->second.context == context_id) {
      it = from.erase(it);
      count++;
    } else {
      ++it;
    }
  }
  return count;
}

} // namespace

CUresult driver_call(const char *name, unsigned needs, const std::string &arguments, const call_body &body) {
  std::lock_guard<std::mutex> hold(lock);
  state &s = get_state();
  CUresult failure = planned(s, name), result = CUDA_SUCCESS;
  s.failing = failure != CUDA_SUCCESS;
  s.note.clear();
  if (!failure || needs & GIVES_BACK) result = checked(s, needs, body);
  if (failure) result = failure;
  s.failing = false;
  write_log(s, name, arguments, result);
  return result;
}

std::string text(const char *format, ...) {
  char line[600];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  return line;
}

void report(state &s, const std::string &message) {
  s.message = message;
  fprintf(stderr, "fakecuda: %s\n", message.c_str());
}

// Handles are no addresses, so that nobody reads behind them, and never come again.
uintptr_t new_handle() {
  static uintptr_t last = (uintptr_t)0xfa4e << 48;
  return last += 16;
}

std::vector<uintptr_t> &current_contexts() {
  thread_local std::vector<uintptr_t> stack;
  thread_local uint64_t of_restart;
  if (of_restart != restarts) stack.clear();
  of_restart = restarts;
  return stack;
}

void empty_context(state &s, uintptr_t id) {
  for (auto &a : s.allocations)
    if (a.second.context == id) free((void *)a.first);
  for (auto &a : s.host_allocations)
    if (a.second.context == id) free((void *)a.first);
  for (size_t i = s.captures.size(); i-- > 0;)
    if (s.captures[i]->context == id) {
      s.captures[i]->over = true;
      s.captures.erase(s.captures.begin() + (long)i);
    }
  s.leaked.allocs += erase_of(s.allocations, id);
  s.leaked.host_allocs += erase_of(s.host_allocations, id);
  s.leaked.modules += erase_of(s.modules, id);
  s.leaked.streams += erase_of(s.streams, id);
  s.leaked.events += erase_of(s.events, id);
  s.leaked.graphs += erase_of(s.graphs, id);
  s.leaked.graph_execs += erase_of(s.graph_execs, id);
  erase_of(s.functions, id);
}

} // namespace fakecuda

using namespace fakecuda;

#define CONTROL extern "C" __attribute__((visibility("default")))

CONTROL uint64_t fakecuda_calls(const char *name) {
  std::lock_guard<std::mutex> hold(lock);
  state &s = get_state();
  if (!name) return s.call_count;
  auto found = s.calls.find(name);
  return found == s.calls.end() ? 0 : found->second;
}

CONTROL void fakecuda_reset(void) {
  std::lock_guard<std::mutex> hold(lock);
  forget(get_state());
}

CONTROL void fakecuda_restart(void) {
  std::lock_guard<std::mutex> hold(lock);
  state &s = get_state();
  while (!s.contexts.empty()) {
    empty_context(s, s.contexts.begin()->first);
    s.contexts.erase(s.contexts.begin());
  }
  forget(s);
  s.captures.clear();
  s.leaked = fakecuda_counts();
  if (s.initialised_in != getpid()) s.initialised_in = 0;
  restarts++;
  read_environment(s);
}

CONTROL void fakecuda_fail_nth(uint64_t n, int result) {
  std::lock_guard<std::mutex> hold(lock);
  get_state().fail_in = result ? n : 0;
  get_state().fail_with = result;
}

CONTROL void fakecuda_fail_call(const char *name, int result) {
  std::lock_guard<std::mutex> hold(lock);
  if (result) get_state().fail_calls[name] = result;
  else get_state().fail_calls.erase(name);
}

CONTROL void fakecuda_live(struct fakecuda_counts *out) {
  std::lock_guard<std::mutex> hold(lock);
  state &s = get_state();
  *out = s.leaked;
  out->allocs += s.allocations.size();
  out->host_allocs += s.host_allocations.size();
  out->modules += s.modules.size();
  out->streams += s.streams.size();
  out->events += s.events.size();
  out->graphs += s.graphs.size();
  out->graph_execs += s.graph_execs.size();
  for (auto &c : s.contexts) out->contexts += c.second.references;
}

CONTROL const char *fakecuda_message(void) {
  std::lock_guard<std::mutex> hold(lock);
  told_message = get_state().message;
  return told_message.c_str();
}

CONTROL void fakecuda_last_launch(struct fakecuda_launch *out) {
  std::lock_guard<std::mutex> hold(lock);
  *out = get_state().last_launch;
}

CONTROL uint32_t fakecuda_kernel_threads(const char *name) {
  const kernel *k = find_kernel(name);
  return k ? k->threads : 0;
}

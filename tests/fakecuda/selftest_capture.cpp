// SPDX-License-Identifier: MIT
//
// Stream capture, its rules, and graphs.
#include "selftest.h"

#include <thread>

namespace {

struct scene {
  primary_context context;
  test_kernel add;
  device_buffer a, b, out;
  CUstream stream, other;
  CUevent event, back;

  scene()
      : add("selftest_add", 128, {".u64", ".u64", ".u64", ".u32"}), a(std::vector<float>(64, 1)),
        b(std::vector<float>(64, 2)), out(std::vector<float>(64, 0)) {
    CHECK_OK(cu.cuStreamCreate(&stream, STREAM_NON_BLOCKING));
    CHECK_OK(cu.cuStreamCreate(&other, STREAM_NON_BLOCKING));
    CHECK_OK(cu.cuEventCreate(&event, EVENT_DISABLE_TIMING));
    CHECK_OK(cu.cuEventCreate(&back, EVENT_DISABLE_TIMING));
  }
  ~scene() {
    cu.cuStreamDestroy_v2(stream);
    cu.cuStreamDestroy_v2(other);
    cu.cuEventDestroy_v2(event);
    cu.cuEventDestroy_v2(back);
  }
  CUresult enqueue(CUstream on) const { return add.launch(1, 64, 0, on, a.at, b.at, out.at, 64u); }
  void begin(int mode = CAPTURE_GLOBAL) const { CHECK_OK(cu.cuStreamBeginCapture_v2(stream, mode)); }
  int status() const {
    int s;
    CHECK_OK(cu.cuStreamIsCapturing(stream, &s));
    return s;
  }
  CUresult end() const {
    CUgraph g;
    CUresult result = cu.cuStreamEndCapture(stream, &g);
    CHECK(!result == (g != nullptr));
    if (g) CHECK_OK(cu.cuGraphDestroy(g));
    return result;
  }
  float result() const { return out.read<float>()[63]; }
};

} // namespace

static void graphs_replay() {
  scene s;
  CUgraph graph;
  CUgraphExec exec;
  std::vector<float> fours(64, 4);
  CHECK(s.status() == CAPTURE_STATUS_NONE);
  s.begin();
  CHECK(s.status() == CAPTURE_STATUS_ACTIVE);
  uint32_t n = 64;
  uint64_t a = s.a.at, b = s.b.at, out = s.out.at;
  void *parameters[] = {&a, &b, &out, &n};
  CHECK_OK(cu.cuLaunchKernel(s.add.function, 1, 1, 1, 64, 1, 1, 0, s.stream, parameters, nullptr));
  n = 1; // the graph has its own copy
  out = 0;
  CHECK_OK(cu.cuMemcpyDtoDAsync_v2(s.a.at, s.out.at, 256, s.stream));
  CHECK_OK(cu.cuStreamEndCapture(s.stream, &graph));
  CHECK(s.result() == 0); // nothing ran
  CHECK_OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
  CHECK_OK(cu.cuGraphDestroy(graph));
  for (int i = 0; i < 3; i++) CHECK_OK(cu.cuGraphLaunch(exec, s.stream));
  CHECK(s.result() == 7);
  CHECK_OK(cu.cuMemcpyHtoDAsync_v2(s.a.at, fours.data(), 256, nullptr)); // changed inputs
  CHECK_OK(cu.cuGraphLaunch(exec, nullptr));
  CHECK(s.result() == 6);
  fakecuda_launch last;
  cu.last_launch(&last);
  CHECK(std::string(last.name) == "selftest_add" && last.block[0] == 64 && last.count == 4);

  // A graph in a graph.
  s.begin();
  CHECK_OK(cu.cuGraphLaunch(exec, s.stream));
  CHECK_OK(cu.cuMemsetD8Async(s.b.at, 0, 256, s.stream));
  CHECK_OK(cu.cuGraphLaunch(exec, s.stream));
  CHECK_OK(cu.cuStreamEndCapture(s.stream, &graph));
  CHECK_OK(cu.cuGraphExecDestroy(exec));
  CHECK_OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
  CHECK_OK(cu.cuGraphLaunch(exec, s.stream));
  CHECK(s.result() == 8);
  CHECK_OK(cu.cuGraphExecDestroy(exec));
  CHECK_OK(cu.cuGraphDestroy(graph));
  CHECK_CODE(cu.cuGraphLaunch(exec, s.stream), CUDA_ERROR_INVALID_HANDLE);
}

static void unsafe_calls_spoil_a_capture() {
  scene s;
  CUdeviceptr at;
  void *host;
  CUmodule module;
  CUfunction function;
  CUcontext own;
  CHECK_OK(cu.cuMemAlloc_v2(&at, 16));
  CHECK_OK(cu.cuMemHostAlloc(&host, 16, 0));
  std::string text = ptx_text(entry_text("selftest_nothing", {}, 1024));
  loaded_kernel late(ptx_text(entry_text("selftest_nothing", {}, 1024) + entry_text("selftest_add", {}, 1)),
                     "selftest_nothing");
  const std::function<CUresult()> calls[] = {
    [&] { return cu.cuModuleLoadDataEx(&module, text.c_str(), 0, nullptr, nullptr); },
    [&] { return cu.cuModuleUnload(late.module); },
    [&] { return cu.cuModuleGetFunction(&function, late.module, "selftest_add"); },
    [&] { return cu.cuMemAlloc_v2(&at, 16); },
    [&] { return cu.cuMemFree_v2(at); },
    [&] { return cu.cuMemHostAlloc(&host, 16, 0); },
    [&] { return cu.cuMemFreeHost(host); },
    [&] { return cu.cuStreamSynchronize(s.stream); },
    [&] { return cu.cuCtxSynchronize(); },
    [&] { return cu.cuEventSynchronize(s.event); },
    [&] { return cu.cuCtxCreate_v2(&own, 0, 0); },
  };
  for (auto &call : calls) {
    s.begin();
    CHECK_OK(s.enqueue(s.stream));
    CHECK_CODE(call(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK(s.status() == CAPTURE_STATUS_INVALIDATED);
    CHECK_CODE(s.enqueue(s.stream), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CHECK(s.status() == CAPTURE_STATUS_NONE);
  }
  // Known functions, attributes, occupancy, events and other streams are free to use.
  s.begin();
  int value;
  CHECK_OK(cu.cuModuleGetFunction(&function, late.module, "selftest_nothing"));
  CHECK_OK(cu.cuFuncGetAttribute(&value, FUNCTION_NUM_REGS, function));
  CHECK_OK(s.enqueue(s.other));
  CHECK_OK(s.end());
  CHECK(s.result() == 3);
  CHECK_OK(cu.cuMemFree_v2(at));
  CHECK_OK(cu.cuMemFreeHost(host));
}

static void modes_say_whom_they_bar() {
  scene s;
  CUcontext here;
  CHECK_OK(cu.cuCtxGetCurrent(&here));
  auto elsewhere = [&](const std::function<CUresult()> &call) {
    CUresult result = -1;
    std::thread t([&] {
      CHECK_OK(cu.cuCtxSetCurrent(here));
      result = call();
    });
    t.join();
    return result;
  };
  auto allocate = [] {
    CUdeviceptr at;
    CUresult result = cu.cuMemAlloc_v2(&at, 16);
    if (!result) CHECK_OK(cu.cuMemFree_v2(at));
    return result;
  };
  s.begin(CAPTURE_GLOBAL);
  CHECK_CODE(elsewhere(allocate), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  s.begin(CAPTURE_THREAD_LOCAL);
  CHECK_OK(elsewhere(allocate));
  CHECK_CODE(elsewhere([&] { return s.end(); }), CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
  CHECK_OK(s.end());
  s.begin(CAPTURE_THREAD_LOCAL);
  CHECK_CODE(allocate(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  s.begin(CAPTURE_RELAXED);
  CHECK_OK(allocate());
  CHECK_OK(elsewhere([&] { return s.end(); }));
  s.begin(CAPTURE_RELAXED);
  CHECK_CODE(cu.cuStreamSynchronize(s.stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

static void misuse_is_refused() {
  scene s;
  CUgraph g;
  CHECK_CODE(cu.cuStreamBeginCapture_v2(nullptr, CAPTURE_GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CHECK_CODE(cu.cuStreamEndCapture(s.stream, &g), CUDA_ERROR_ILLEGAL_STATE);
  s.begin();
  CHECK_CODE(cu.cuStreamBeginCapture_v2(s.stream, CAPTURE_GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
  CHECK_CODE(cu.cuStreamDestroy_v2(s.stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  // The legacy stream waits for blocking streams, but not for others.
  CUstream blocking;
  CHECK_OK(cu.cuStreamCreate(&blocking, 0));
  s.begin();
  CHECK_OK(s.enqueue(nullptr));
  CHECK_OK(s.end());
  CHECK_OK(cu.cuStreamBeginCapture_v2(blocking, CAPTURE_GLOBAL));
  CHECK_CODE(s.enqueue(nullptr), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  CHECK_CODE(cu.cuStreamEndCapture(blocking, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  CHECK_OK(cu.cuStreamDestroy_v2(blocking));
  // A planned failure ends the capture all the same, and leaves no graph.
  s.begin();
  cu.fail_call("cuStreamEndCapture", 999);
  CHECK_CODE(s.end(), 999);
  cu.fail_call("cuStreamEndCapture", 0);
  CHECK(s.status() == CAPTURE_STATUS_NONE);
  // A replay after the memory or the module is gone.
  CUgraphExec exec;
  CUgraph graph;
  CUdeviceptr gone;
  CHECK_OK(cu.cuMemAlloc_v2(&gone, 16));
  s.begin();
  CHECK_OK(cu.cuMemsetD8Async(gone, 0, 16, s.stream));
  CHECK_OK(cu.cuStreamEndCapture(s.stream, &graph));
  CHECK_OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
  CHECK_OK(cu.cuGraphLaunch(exec, s.stream));
  CHECK_OK(cu.cuMemFree_v2(gone));
  CHECK_CODE(cu.cuGraphLaunch(exec, s.stream), CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(cu.cuGraphExecDestroy(exec));
  CHECK_OK(cu.cuGraphDestroy(graph));
}

static void events_fork_and_join() {
  scene s;
  CUgraph graph;
  CUgraphExec exec;
  s.begin();
  CHECK_OK(s.enqueue(s.stream));
  CHECK_OK(cu.cuEventRecord(s.event, s.stream));
  CHECK_OK(cu.cuStreamWaitEvent(s.other, s.event, 0));
  CHECK_OK(cu.cuMemcpyDtoDAsync_v2(s.a.at, s.out.at, 256, s.other));
  CHECK_OK(cu.cuEventRecord(s.back, s.other));
  CHECK_OK(cu.cuStreamWaitEvent(s.stream, s.back, 0));
  CHECK_OK(s.enqueue(s.stream));
  CHECK_OK(cu.cuStreamEndCapture(s.stream, &graph));
  CHECK(s.result() == 0);
  CHECK_OK(cu.cuGraphInstantiateWithFlags(&exec, graph, 0));
  CHECK_OK(cu.cuGraphLaunch(exec, s.other)); // both streams are free again
  CHECK(s.result() == 5);
  CHECK_CODE(cu.cuEventSynchronize(s.back), CUDA_ERROR_CAPTURED_EVENT);
  CHECK_OK(cu.cuGraphExecDestroy(exec));
  CHECK_OK(cu.cuGraphDestroy(graph));

  s.begin(); // work of the other stream that the first never waits for
  CHECK_OK(cu.cuEventRecord(s.event, s.stream));
  CHECK_OK(cu.cuStreamWaitEvent(s.other, s.event, 0));
  CHECK_OK(cu.cuEventRecord(s.back, s.other));
  CHECK_OK(s.enqueue(s.other));
  CHECK_OK(cu.cuStreamWaitEvent(s.stream, s.back, 0));
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);

  s.begin();
  CHECK_OK(cu.cuEventRecord(s.event, s.stream));
  CHECK_OK(cu.cuStreamWaitEvent(s.other, s.event, 0));
  CHECK_CODE(cu.cuStreamEndCapture(s.other, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

  CHECK_OK(cu.cuEventRecord(s.event, s.other)); // outside
  s.begin();
  CHECK_CODE(cu.cuStreamWaitEvent(s.stream, s.event, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

  s.begin();
  CHECK_OK(cu.cuStreamBeginCapture_v2(s.other, CAPTURE_GLOBAL));
  CHECK_OK(cu.cuEventRecord(s.event, s.other));
  CHECK_CODE(cu.cuStreamWaitEvent(s.stream, s.event, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
  CHECK_CODE(s.end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  CHECK_CODE(cu.cuStreamEndCapture(s.other, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

void test_capture() {
  graphs_replay();
  unsafe_calls_spoil_a_capture();
  modes_say_whom_they_bar();
  misuse_is_refused();
  events_fork_and_join();
  CHECK(nothing_lives());
}

// SPDX-License-Identifier: MIT
//
// Devices, contexts, memory, threads; then logs, planned failures, missing symbols.
#include "selftest.h"

#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <sstream>
#include <thread>
#include <unistd.h>

static int attribute(int which, CUdevice device = 0) {
  int value = -1;
  CHECK_OK(cu.cuDeviceGetAttribute(&value, which, device));
  return value;
}

static void devices_are_as_described() {
  restart_with({"FAKECUDA_DEVICES=sm=80,sms=7,l2=3M,smem=100K,mem=1G,name=Small;sm=120", "FAKECUDA_DRIVER=12040"});
  int count, version;
  char name[64];
  size_t total;
  CHECK_OK(cu.cuInit(0));
  CHECK_OK(cu.cuDeviceGetCount(&count));
  CHECK(count == 2);
  CHECK_OK(cu.cuDriverGetVersion(&version));
  CHECK(version == 12040);
  CHECK_OK(cu.cuDeviceGetName(name, sizeof name, 0));
  CHECK(!strcmp(name, "Small"));
  CHECK_OK(cu.cuDeviceGetName(name, 4, 0));
  CHECK(!strcmp(name, "Sma"));
  CHECK_OK(cu.cuDeviceTotalMem_v2(&total, 0));
  CHECK(total == (size_t)1 << 30);
  CHECK(attribute(75) == 8 && attribute(76) == 0 && attribute(16) == 7 && attribute(38) == 3 << 20);
  CHECK(attribute(97) == 100 << 10 && attribute(10) == 32);
  CHECK(attribute(75, 1) == 12 && attribute(76, 1) == 0 && attribute(97, 1) == 99 << 10);
  int value;
  CHECK_CODE(cu.cuDeviceGetAttribute(&value, 16, 2), CUDA_ERROR_INVALID_DEVICE);
  CHECK_CODE(cu.cuDeviceGet(&value, -1), CUDA_ERROR_INVALID_DEVICE);

  restart_with({"FAKECUDA_DEVICES="});
  CHECK_CODE(cu.cuInit(0), CUDA_ERROR_NO_DEVICE);
  child_result bad = in_child([] { restart_with({"FAKECUDA_DEVICES=sm=90,smss=4"}); });
  CHECK(bad.status == 99 && bad.errors.find("smss") != std::string::npos);
}

static void initialisation_comes_first() {
  child_result child = in_child([] {
    // A fresh process of its own: the library has not been initialised here yet.
    int count;
    CHECK_CODE(cu.cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_OK(cu.cuInit(0));
    CHECK_OK(cu.cuDeviceGetCount(&count));
    CHECK(count == 1);
  });
  if (child.status) fprintf(stderr, "%s", child.errors.c_str());
  CHECK(child.status == 0);
  restart_with({});
  CHECK_OK(cu.cuInit(0));
  CHECK_CODE(cu.cuInit(1), CUDA_ERROR_INVALID_VALUE);
  // A driver that the parent has used is of no use to a child.
  child = in_child([] {
    int count;
    CHECK_CODE(cu.cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_CODE(cu.cuInit(0), CUDA_ERROR_NOT_INITIALIZED);
  });
  CHECK(child.status == 0);
}

static void contexts_stack() {
  restart_with({"FAKECUDA_DEVICES=sm=90;sm=80"});
  CUcontext current, primary, again, own, popped;
  CUdeviceptr at;
  CHECK_OK(cu.cuInit(0));
  CHECK_OK(cu.cuCtxGetCurrent(&current));
  CHECK(!current);
  CHECK_CODE(cu.cuMemAlloc_v2(&at, 16), CUDA_ERROR_INVALID_CONTEXT);
  CHECK_OK(cu.cuDevicePrimaryCtxRetain(&primary, 1));
  CHECK_OK(cu.cuDevicePrimaryCtxRetain(&again, 1));
  CHECK(primary == again);
  CHECK_OK(cu.cuCtxCreate_v2(&own, 0, 0));
  CHECK_OK(cu.cuCtxPushCurrent_v2(primary));
  CUdevice device;
  CHECK_OK(cu.cuCtxGetDevice(&device));
  CHECK(device == 1);
  CHECK_OK(cu.cuCtxPopCurrent_v2(&popped));
  CHECK(popped == primary);
  CHECK_OK(cu.cuCtxGetCurrent(&current));
  CHECK(current == own);
  CHECK_OK(cu.cuCtxSetCurrent(primary));
  fakecuda_counts c;
  cu.live(&c);
  CHECK(c.contexts == 3);
  CHECK_OK(cu.cuDevicePrimaryCtxRelease_v2(1));
  CHECK_OK(cu.cuCtxSynchronize());
  CHECK_OK(cu.cuMemAlloc_v2(&at, 16));
  CHECK_OK(cu.cuDevicePrimaryCtxRelease_v2(1));
  CHECK_CODE(cu.cuDevicePrimaryCtxRelease_v2(1), CUDA_ERROR_INVALID_CONTEXT);
  CHECK_CODE(cu.cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  CHECK_OK(cu.cuCtxDestroy_v2(own));
  cu.live(&c);
  CHECK(c.contexts == 0 && c.allocs == 1); // went down with its context: a leak
  CHECK_OK(cu.cuCtxSetCurrent(nullptr));
}

static void memory_is_checked() {
  restart_with({"FAKECUDA_DEVICES=mem=1M"});
  {
    primary_context context;
    CUdeviceptr at;
    size_t free_bytes, total;
    CHECK_CODE(cu.cuMemAlloc_v2(&at, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu.cuMemAlloc_v2(&at, (1 << 20) + 1), CUDA_ERROR_OUT_OF_MEMORY);
    device_buffer a(1000), b(100);
    CHECK(a.at % 256 == 0);
    CHECK_OK(cu.cuMemGetInfo_v2(&free_bytes, &total));
    CHECK(total == 1 << 20 && free_bytes == total - 1100);
    float first = a.read<float>()[3];
    CHECK(std::isnan(first));
    CHECK_OK(cu.cuMemsetD8Async(a.at, 7, 1000, nullptr));
    CHECK_OK(cu.cuMemcpyDtoDAsync_v2(b.at, a.at + 900, 100, nullptr));
    CHECK(b.read<uint8_t>() == std::vector<uint8_t>(100, 7));
    char host[200];
    CHECK_CODE(cu.cuMemcpyDtoHAsync_v2(host, b.at + 1, 100, nullptr), CUDA_ERROR_INVALID_VALUE);
    CHECK(message_has("not in device memory"));
    CHECK_CODE(cu.cuMemcpyHtoDAsync_v2((CUdeviceptr)host, host, 1, nullptr), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu.cuMemcpyDtoDAsync_v2(b.at, a.at + 950, 51, nullptr), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu.cuMemsetD8Async(a.at - 1, 0, 2, nullptr), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu.cuMemFree_v2(a.at + 16), CUDA_ERROR_INVALID_VALUE);
    void *pinned;
    CHECK_OK(cu.cuMemHostAlloc(&pinned, 64, 0));
    CHECK_OK(cu.cuMemFreeHost(pinned));
    CHECK_CODE(cu.cuMemFreeHost(pinned), CUDA_ERROR_INVALID_VALUE);
    CHECK_CODE(cu.cuStreamSynchronize((CUstream)0x7777), CUDA_ERROR_INVALID_HANDLE);
  }
  CHECK(nothing_lives());
}

static void events_tell_time() {
  primary_context context;
  CUevent from, to;
  float ms;
  CHECK_OK(cu.cuEventCreate(&from, 0));
  CHECK_OK(cu.cuEventCreate(&to, 0));
  CHECK_CODE(cu.cuEventElapsedTime(&ms, from, to), CUDA_ERROR_INVALID_HANDLE);
  CHECK_OK(cu.cuEventRecord(from, nullptr));
  usleep(2000);
  CHECK_OK(cu.cuEventRecord(to, nullptr));
  CHECK_OK(cu.cuEventSynchronize(to));
  CHECK_OK(cu.cuEventElapsedTime(&ms, from, to));
  CHECK(ms > 1.5f && ms < 5000.0f);
  CHECK_OK(cu.cuEventDestroy_v2(from));
  CHECK_CODE(cu.cuEventRecord(from, nullptr), CUDA_ERROR_INVALID_HANDLE);
  CHECK_OK(cu.cuEventDestroy_v2(to));
}

// Each thread has its own current context, stream and buffers; all results are right.
static void threads_share_the_driver() {
  restart_with({"FAKECUDA_DEVICES=sm=90;sm=80"});
  auto work = [](int number) {
    CUcontext current;
    CHECK_OK(cu.cuCtxGetCurrent(&current));
    CHECK(!current);
    primary_context context(number % 2);
    CUstream stream;
    CHECK_OK(cu.cuStreamCreate(&stream, STREAM_NON_BLOCKING));
    test_kernel add("selftest_add", 128, {".u64", ".u64", ".u64", ".u32"});
    for (int round = 0; round < 20; round++) {
      const uint32_t n = 300;
      device_buffer a(std::vector<float>(n, (float)number)), b(std::vector<float>(n, (float)round)),
          out(n * sizeof(float));
      CHECK_OK(add.launch(3, 128, 0, stream, a.at, b.at, out.at, n));
      CHECK_OK(cu.cuStreamSynchronize(stream));
      CHECK(out.read<float>() == std::vector<float>(n, (float)(number + round)));
    }
    CHECK_OK(cu.cuStreamDestroy_v2(stream));
  };
  CHECK_OK(cu.cuInit(0));
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; i++) threads.emplace_back(work, i);
  for (auto &t : threads) t.join();
  CHECK(nothing_lives());
  CHECK(cu.calls("cuLaunchKernel") == 160);
}

void test_driver() {
  initialisation_comes_first();
  devices_are_as_described();
  contexts_stack();
  memory_is_checked();
  events_tell_time();
  threads_share_the_driver();
}

// ---- Faults -----------------------------------------------------------------------

static void calls_are_logged() {
  char path[] = "/tmp/fakecuda-log-XXXXXX";
  CHECK(close(mkstemp(path)) == 0);
  restart_with({std::string("FAKECUDA_LOG=") + path});
  {
    primary_context context;
    device_buffer a(64);
    test_kernel nothing("selftest_nothing", 1024, {});
    CHECK_OK(nothing.launch(2, 64, 0, nullptr));
  }
  restart_with({});
  std::stringstream log;
  log << std::ifstream(path).rdbuf();
  unlink(path);
  CHECK(log.str().find("cuMemAlloc_v2 bytes=64 -> 0\n") != std::string::npos);
  size_t launch = log.str().find("cuLaunchKernel function=");
  CHECK(launch != std::string::npos);
  CHECK(log.str().find("grid=2,1,1 block=64,1,1 shared=0", launch) != std::string::npos);
  CHECK(log.str().find("name=selftest_nothing -> 0\n", launch) != std::string::npos);
}

// A host that allocates, launches and cleans up, and gives up at the first failure.
static CUresult careful_host() {
  CUcontext c;
  CUdeviceptr at = 0;
  CUstream stream = nullptr;
  CUmodule module = nullptr;
  CUfunction function;
  uint32_t n = 0;
  CUdeviceptr null = 0;
  std::string text = ptx_text(entry_text("selftest_add", {".u64", ".u64", ".u64", ".u32"}, 128));
  void *parameters[] = {&null, &null, &at, &n};
  CUresult r, later;
  if ((r = cu.cuInit(0))) return r;
  if ((r = cu.cuDevicePrimaryCtxRetain(&c, 0))) return r;
  if ((r = cu.cuCtxPushCurrent_v2(c))) goto release;
  if ((r = cu.cuMemAlloc_v2(&at, 100))) goto pop;
  if ((r = cu.cuStreamCreate(&stream, 1))) goto pop;
  if ((r = cu.cuModuleLoadDataEx(&module, text.c_str(), 0, nullptr, nullptr))) goto pop;
  if ((r = cu.cuModuleGetFunction(&function, module, "selftest_add"))) goto pop;
  if ((r = cu.cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, parameters, nullptr))) goto pop;
  r = cu.cuStreamSynchronize(stream);
pop:
  if (module && (later = cu.cuModuleUnload(module)) && !r) r = later;
  if (stream && (later = cu.cuStreamDestroy_v2(stream)) && !r) r = later;
  if (at && (later = cu.cuMemFree_v2(at)) && !r) r = later;
  if ((later = cu.cuCtxPopCurrent_v2(nullptr)) && !r) r = later;
release:
  if ((later = cu.cuDevicePrimaryCtxRelease_v2(0)) && !r) r = later;
  return r;
}

static void every_call_can_fail() {
  restart_with({});
  CHECK_OK(careful_host());
  uint64_t calls = cu.calls(nullptr);
  CHECK(calls == 14);
  for (uint64_t n = 1; n <= calls; n++) {
    cu.reset();
    cu.fail_nth(n, 999);
    CHECK_CODE(careful_host(), 999);
    CHECK(nothing_lives());
    CUcontext current;
    CHECK_OK(cu.cuCtxGetCurrent(&current));
    CHECK(!current);
    CHECK_OK(careful_host()); // once only
  }
  cu.fail_nth(calls + 1, 999);
  CHECK_OK(careful_host());
  cu.fail_nth(1, 0);

  cu.fail_call("cuModuleLoadDataEx", 218);
  CHECK_CODE(careful_host(), 218);
  CHECK_CODE(careful_host(), 218);
  cu.fail_call("cuModuleLoadDataEx", 0);
  CHECK_OK(careful_host());
  restart_with({"FAKECUDA_FAIL=cuMemAlloc_v2=2@3,cuStreamCreate=46@1"});
  CHECK_CODE(careful_host(), 46);
  CHECK_OK(careful_host());
  CHECK_CODE(careful_host(), 2);
  CHECK_OK(careful_host());
  const char *name, *said;
  CHECK_OK(cu.cuGetErrorName(900, &name));
  CHECK(!strcmp(name, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"));
  CHECK_OK(cu.cuGetErrorString(900, &said));
  CHECK(strstr(said, "captur"));
  CHECK_CODE(cu.cuGetErrorName(12345, &name), CUDA_ERROR_INVALID_VALUE);
  CHECK(!name);
}

static void symbols_can_be_missing() {
  static const struct {
    const char *file;
    std::vector<std::string> missing;
  } variants[] = {{"libcuda-omit-one.so.1", {"cuMemAlloc_v2"}},
                  {"libcuda-omit-several.so.1", {"cuMemAlloc_v2", "cuStreamBeginCapture_v2", "cuGraphLaunch"}},
                  {"libcuda-omit-optional.so.1", {"cuLaunchKernelEx", "cuTensorMapEncodeTiled"}}};
  for (auto &variant : variants) {
    void *library = dlopen(library_path(variant.file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    CHECK(library);
    size_t missing = 0;
    auto look_up = [&](const char *name) {
      bool wanted = true;
      for (const std::string &m : variant.missing) wanted &= m != name;
      CHECK((dlsym(library, name) != nullptr) == wanted);
      missing += !wanted;
    };
#define X(name) look_up(#name);
    EACH_DRIVER_FUNCTION(X)
#undef X
    CHECK(missing == variant.missing.size());
    int version = 0;
    auto tell = (decltype(cu.cuDriverGetVersion))dlsym(library, "cuDriverGetVersion");
    CHECK(tell != cu.cuDriverGetVersion && tell(&version) == 0 && version == 13000);
  }
}

void test_faults() {
  calls_are_logged();
  every_call_can_fail();
  symbols_can_be_missing();
}

// SPDX-License-Identifier: MIT
//
// PTX, functions, and what a launch is checked for.
#include "selftest.h"

#include <cstring>

static const char *const NOTHING = ".visible .entry selftest_nothing()\n.maxntid 1024, 1, 1\n{\n\tret;\n}\n";

static CUresult load(const std::string &text, std::string *out_log = nullptr, size_t log_size = 500) {
  CUmodule module = nullptr;
  std::vector<char> log(log_size, '?');
  int options[] = {JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 7};
  void *values[] = {log.data(), (void *)(uintptr_t)log_size, (void *)4};
  CUresult result = cu.cuModuleLoadDataEx(&module, text.c_str(), 3, options, values);
  CHECK(!result == (module != nullptr));
  size_t length = (size_t)(uintptr_t)values[1];
  CHECK(length < log_size && log[length] == 0 && strlen(log.data()) == length);
  if (out_log) *out_log = log.data();
  if (module) CHECK_OK(cu.cuModuleUnload(module));
  return result;
}

static void refused(const std::string &text, CUresult want, const char *words) {
  std::string log;
  CHECK_CODE(load(text, &log), want);
  if (log.find(words) == std::string::npos) fprintf(stderr, "the log: %s", log.c_str());
  CHECK(log.find(words) != std::string::npos);
}

static void ptx_is_judged() {
  restart_with({"FAKECUDA_DEVICES=sm=80;sm=90;sm=103", "FAKECUDA_DRIVER=12040"});
  std::string good = ptx_text(NOTHING);
  {
    primary_context context;
    std::string log;
    CHECK_OK(load(good, &log));
    CHECK(log.empty());
    CHECK_OK(load(ptx_text(NOTHING, "8.4")));
    refused(ptx_text(NOTHING, "8.5"), CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "Unsupported .version 8.5");
    refused(ptx_text(NOTHING, "6.5"), CUDA_ERROR_INVALID_PTX, "7.0 or later is required for target sm_80");
    refused(ptx_text(NOTHING, "7.8", "sm_90"), CUDA_ERROR_INVALID_PTX, ".target sm_90 does not run on sm_80");
    refused("", CUDA_ERROR_INVALID_PTX, "Missing .version");
    refused("Not Found", CUDA_ERROR_INVALID_PTX, "line 1; error   : Missing .version");
    refused(good.substr(0, good.size() - 3), CUDA_ERROR_INVALID_PTX, "ends too early");
    refused(ptx_text(".visible .entry f(.param .u65 a) { ret; }"), CUDA_ERROR_INVALID_PTX, "line 8; error   : '.u65'");
    refused(ptx_text(std::string(NOTHING) + NOTHING), CUDA_ERROR_INVALID_PTX, "duplicate entry 'selftest_nothing'");
    refused(good + "\x01", CUDA_ERROR_INVALID_PTX, "unexpected character 1");
    refused(good + "/* no end", CUDA_ERROR_INVALID_PTX, "comment does not end");
    CHECK_CODE(load("\x7f" "ELF and more"), CUDA_ERROR_NO_BINARY_FOR_GPU);
    load("", &log, 10);
    CHECK(log == "ptxas app");
    CUmodule module;
    CHECK_CODE(cu.cuModuleLoadDataEx(&module, "", 0, nullptr, nullptr), CUDA_ERROR_INVALID_PTX);
    CHECK_CODE(cu.cuModuleLoadDataEx(&module, "", 1, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  }
  {
    primary_context context(1);
    CHECK_OK(load(ptx_text(NOTHING, "7.8", "sm_90")));
    CHECK_OK(load(ptx_text(NOTHING, "8.0", "sm_90a")));
    CHECK_CODE(load(ptx_text(NOTHING, "7.8", "sm_90a")), CUDA_ERROR_INVALID_PTX);
  }
  restart_with({"FAKECUDA_DEVICES=sm=103"});
  primary_context context;
  CHECK_OK(load(ptx_text(NOTHING, "9.0", "sm_100f")));
  CHECK_CODE(load(ptx_text(NOTHING, "9.0", "sm_100a")), CUDA_ERROR_INVALID_PTX);
  CHECK_CODE(load(ptx_text(NOTHING, "9.0", "sm_90a")), CUDA_ERROR_INVALID_PTX);
}

static void functions_have_attributes() {
  primary_context context;
  std::string text = ptx_text(R"(
.global .align 4 .b8 table[4] = {1, 2, 3, 4};
.shared .align 16 .b8 first[100];
.shared .align 16 .b8 second[1000];
.extern .shared .align 16 .b8 dynamic[];
.func (.param .b32 r) helper(.param .b32 a)
{
	ret;
}
.weak .entry other(.param .u64 .ptr .global .align 16 p, .param .align 8 .b8 q[88])
.reqntid 64
.minnctapersm 2
{
	.shared .align 4 .b8 third[20];
	mov.u32 %r1, first;
	{ add.u32 %r1, %r1, first; }
	mov.u32 %r1, dynamic;
	ret;
}
.file	1 "some/file.cu", 1700000000, 123
.file	2 "some/other.cu"
.section	.debug_str
{
.b8 1
}
)");
  loaded_kernel k(text, "other");
  int value;
  auto attribute = [&](int which) {
    CHECK_OK(cu.cuFuncGetAttribute(&value, which, k.function));
    return value;
  };
  CHECK(attribute(FUNCTION_MAX_THREADS_PER_BLOCK) == 64 && attribute(FUNCTION_SHARED_SIZE_BYTES) == 120);
  CHECK(attribute(FUNCTION_PTX_VERSION) == 80 && attribute(FUNCTION_BINARY_VERSION) == 90);
  CHECK(attribute(FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES) == 48 * 1024);
  CHECK_CODE(cu.cuFuncSetAttribute(k.function, FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, 227 * 1024),
             CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(cu.cuFuncSetAttribute(k.function, FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, 227 * 1024 - 120));
  CHECK(attribute(FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES) == 227 * 1024 - 120);
  CHECK_CODE(cu.cuFuncSetAttribute(k.function, FUNCTION_NUM_REGS, 32), CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, k.function, 64, 0));
  CHECK(value == 32);
  CHECK_OK(cu.cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, k.function, 64, 100 * 1024));
  CHECK(value == 2);
  CUfunction f;
  CHECK_CODE(cu.cuModuleGetFunction(&f, k.module, "helper"), CUDA_ERROR_NOT_FOUND);
}

static CUresult shaped(CUfunction f, unsigned gx, unsigned gy, unsigned bx, unsigned by, unsigned bz,
                       unsigned dynamic) {
  return cu.cuLaunchKernel(f, gx, gy, 1, bx, by, bz, dynamic, nullptr, nullptr, nullptr);
}

static void shapes_are_checked() {
  restart_with({"FAKECUDA_DEVICES=sm=80"});
  primary_context context;
  test_kernel k("selftest_nothing", 1024, {});
  CHECK_OK(shaped(k.function, 3, 2, 32, 4, 8, 48 * 1024));
  CHECK_CODE(shaped(k.function, 0, 1, 32, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(shaped(k.function, 1, 65536, 32, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(shaped(k.function, 1, 1, 0, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(shaped(k.function, 1, 1, 1025, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(shaped(k.function, 1, 1, 513, 2, 1, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(shaped(k.function, 1, 1, 1, 1, 65, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(shaped(k.function, 1, 1, 32, 1, 1, 48 * 1024 + 1), CUDA_ERROR_INVALID_VALUE);
  CHECK(message_has("selftest_nothing") && message_has("49153"));
  CHECK_OK(cu.cuFuncSetAttribute(k.function, FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, 163 * 1024));
  CHECK_OK(shaped(k.function, 1, 1, 32, 1, 1, 163 * 1024));

  test_kernel add("selftest_add", 128, {".u64", ".u64", ".u64", ".u32"});
  uint64_t null = 0;
  CHECK_CODE(add.launch(1, 129, 0, nullptr, null, null, null, 0u), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  CHECK_CODE(add.launch(1, 32, 0, nullptr, null, null, null), CUDA_ERROR_INVALID_VALUE);
  CHECK(message_has("parameter 3 is missing"));
  CHECK_CODE(shaped(add.function, 1, 1, 32, 1, 1, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(add.launch(1, 32, 0, nullptr, null, null, null, 0u));

  CUlaunchAttribute programmatic = {LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION, {0}, {{0}}};
  programmatic.value.number = 1;
  CUlaunchConfig config = {{1, 1, 1}, {32, 1, 1}, 0, nullptr, &programmatic, 1};
  CHECK_CODE(cu.cuLaunchKernelEx(&config, k.function, nullptr, nullptr), CUDA_ERROR_NOT_SUPPORTED);
  programmatic.id = LAUNCH_PRIORITY;
  CHECK_OK(cu.cuLaunchKernelEx(&config, k.function, nullptr, nullptr));
  programmatic.id = 77;
  CHECK_CODE(cu.cuLaunchKernelEx(&config, k.function, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
}

static void parameters_arrive() {
  primary_context context;
  const std::vector<std::string> types = {".u8",  ".u16", ".u64",           ".align 4 .b8[20]", ".f32",
                                          ".f64", ".align 1 .b8[3]", ".u8", ".u64"};
  const std::vector<double> want = {200, 60000, 1e15, 1, 2, 3, 4, 4e9, 0.5, -1e300, 7, 8, 9, -3};
  test_kernel k("selftest_mixed", 32, types);
  device_buffer out(14 * sizeof(double));
  struct {
    uint32_t word[5];
  } d = {{1, 2, 3, 4, 4000000000u}};
  struct {
    uint8_t byte[3];
  } g = {{7, 8, 9}};
  CHECK_OK(k.launch(1, 32, 0, nullptr, (uint8_t)200, (uint16_t)60000, (uint64_t)1000000000000000, d, 0.5f, -1e300, g,
                    (int8_t)-3, out.at));
  CHECK(out.read<double>() == want);

  // The same as one buffer, laid out as the PTX says.
  CHECK_OK(cu.cuMemsetD8Async(out.at, 0, out.bytes, nullptr));
  struct {
    uint8_t a;
    uint16_t b;
    uint64_t c;
    uint32_t d[5];
    float e;
    double f;
    uint8_t g[3];
    int8_t h;
    uint64_t out;
  } all = {200, 60000, 1000000000000000, {1, 2, 3, 4, 4000000000u}, 0.5f, -1e300, {7, 8, 9}, -3, out.at};
  size_t size = sizeof all;
  void *extra[] = {(void *)LAUNCH_PARAM_BUFFER_POINTER, &all, (void *)LAUNCH_PARAM_BUFFER_SIZE, &size, nullptr};
  CHECK_OK(cu.cuLaunchKernel(k.function, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, extra));
  CHECK(out.read<double>() == want);
  size--;
  CHECK_CODE(cu.cuLaunchKernel(k.function, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, extra), CUDA_ERROR_INVALID_VALUE);
}

// PTX that was made from other sources than those compiled in.
static void ptx_must_fit_the_sources() {
  primary_context context;
  test_kernel good("selftest_other_parameters", 32, {".u32", ".u64"});
  CHECK_OK(good.launch(1, 32, 0, nullptr, 1u, (uint64_t)2));
  test_kernel swapped("selftest_other_parameters", 32, {".u64", ".u32"});
  CHECK_CODE(swapped.launch(1, 32, 0, nullptr, (uint64_t)2, 1u), CUDA_ERROR_LAUNCH_FAILED);
  CHECK(message_has("parameter 0 has 8 bytes aligned to 8 in the PTX, 4 aligned to 4 in the source"));
  test_kernel fewer("selftest_other_parameters", 32, {".u32"});
  CHECK_CODE(fewer.launch(1, 32, 0, nullptr, 1u), CUDA_ERROR_LAUNCH_FAILED);
  test_kernel bound("selftest_other_parameters", 64, {".u32", ".u64"});
  CHECK_CODE(bound.launch(1, 32, 0, nullptr, 1u, (uint64_t)2), CUDA_ERROR_LAUNCH_FAILED);
  CHECK(message_has(".maxntid 64, the source 32"));
  test_kernel unknown("selftest_unknown", 32, {});
  CHECK_CODE(unknown.launch(1, 32, 0, nullptr), CUDA_ERROR_LAUNCH_FAILED);
  CHECK(message_has("no such kernel"));
}

static void handles_belong_to_contexts() {
  restart_with({"FAKECUDA_DEVICES=sm=90;sm=90"});
  primary_context first(0);
  test_kernel k("selftest_nothing", 1024, {});
  CUstream stream;
  CHECK_OK(cu.cuStreamCreate(&stream, 0));
  CUfunction stale;
  {
    primary_context second(1);
    CHECK_CODE(k.launch(1, 32, 0, nullptr), CUDA_ERROR_INVALID_HANDLE);
    test_kernel here("selftest_nothing", 1024, {});
    CHECK_CODE(here.launch(1, 32, 0, stream), CUDA_ERROR_INVALID_HANDLE);
    CHECK_OK(here.launch(1, 32, 0, nullptr));
    CHECK_CODE(cu.cuModuleGetFunction(&stale, k.module, "selftest_nothing"), CUDA_ERROR_INVALID_HANDLE);
    stale = here.function;
  }
  CHECK_CODE(cu.cuLaunchKernel(stale, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_HANDLE);
  CHECK_OK(cu.cuStreamDestroy_v2(stream));
}

void test_modules() {
  ptx_is_judged();
  restart_with({});
  functions_have_attributes();
  shapes_are_checked();
  restart_with({});
  parameters_arrive();
  ptx_must_fit_the_sources();
  handles_belong_to_contexts();
}

/* SPDX-License-Identifier: MIT */

/* CUDA devices on a machine without one: libweir on tests/fakecuda. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stand_in.h"

/* ---- The driver --------------------------------------------------------- */

START_TEST(test_nothing_is_opened_before_a_device_is_asked_for) {
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *cpu = open_device(runtime, "cpu"), *described = open_device(runtime, "cuda:sm=90,sms=132");
  ck_assert_ptr_null(dlopen(fake("libcuda.so.1"), RTLD_NOW | RTLD_NOLOAD));
  weir_device *cuda = open_device(runtime, "cuda:0");
  ck_assert_uint_eq(CONTROL(fakecuda_calls)("cuInit"), 1);
  weir_device_close(cuda);
  weir_device_close(described);
  weir_device_close(cpu);
  weir_close(runtime);
  assert_nothing_lives("opening a device");
}
END_TEST

START_TEST(test_a_child_of_fork_uses_the_device) {
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  pid_t child = fork();
  if (child == 0) {
    weir_device *cuda = NULL;
    _exit(weir_device_open(runtime, "cuda:0", &cuda) == WEIR_OK ? 0 : 1);
  }
  int status = 1;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_int_eq(status, 0);
  weir_close(runtime);
}
END_TEST

static void assert_no_device(const char *driver, const char *name, const char *const *words) {
  weir_runtime *runtime = open_cuda(driver);
  weir_device *device = (weir_device *)&runtime;
  assert_fails(weir_device_open(runtime, name, &device), WEIR_E_NODEVICE, name, __FILE__, __LINE__, words);
  ck_assert_ptr_null(device);
  weir_close(runtime);
}

START_TEST(test_missing_symbols_are_all_named) {
  assert_no_device("libcuda-omit-one.so.1", "cuda:0", (const char *const[]){"lacks", "cuMemAlloc_v2 (since 3.2)", "driver", NULL});
  assert_no_device("libcuda-omit-several.so.1", "cuda:0",
                   (const char *const[]){"cuMemAlloc_v2", "cuStreamBeginCapture_v2", "cuGraphLaunch", "since", NULL});
}
END_TEST

START_TEST(test_no_driver_and_no_device) {
  assert_no_device("libcuda-nowhere.so.1", "cuda:0", (const char *const[]){"libcuda-nowhere.so.1", "WEIR_CUDA_LIBRARY", NULL});
  machine("", NULL);
  assert_no_device("libcuda.so.1", "cuda:0", (const char *const[]){"nvidia-smi|cuda:0", NULL});
  machine("sm=90;sm=80", NULL);
  assert_no_device("libcuda.so.1", "cuda:2", (const char *const[]){"cuda:2", "2", NULL});
}
END_TEST

START_TEST(test_devices_are_described) {
  machine("sm=90,sms=132,l2=50M,smem=227K,name=First;sm=80,sms=108,l2=40M,smem=163K,name=Second", "12040");
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *first = open_device(runtime, "cuda"), *second = open_device(runtime, "cuda:1");
  weir_device_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_device_get(first, &info));
  ck_assert_uint_eq(info.kind, WEIR_DEVICE_CUDA);
  ck_assert_uint_eq(info.flags, 0);
  ck_assert_int_eq(info.ordinal, 0);
  ck_assert_uint_eq(info.cc, 90);
  ck_assert_uint_eq(info.sm_count, 132);
  ck_assert_uint_eq(info.cache_bytes, 50u << 20);
  ck_assert_uint_eq(info.smem_per_block, 227u << 10);
  ck_assert_uint_eq(info.driver_version, 12040);
  ck_assert_str_eq(info.name, "First");
  ASSERT_OK(weir_device_get(second, &info));
  ck_assert_int_eq(info.ordinal, 1);
  ck_assert_uint_eq(info.cc, 80);
  problem p;
  problem_make(&p, 20, 96, 2, 32, 5);
  assert_solves(second, &p, "cuda-dp4a");
  assert_solves(first, &p, "cuda-dp4a");
  assert_solves(second, &p, "cuda-dp4a");
  problem_free(&p);
  weir_device_close(first);
  weir_device_close(second);
  weir_close(runtime);
  assert_nothing_lives("two devices");
}
END_TEST

START_TEST(test_the_hosts_context_is_used) {
  typedef int create_fn(void **, unsigned, int);
  typedef int init_fn(unsigned);
  typedef int destroy_fn(void *);
  machine(NULL, NULL);
  void *context = NULL;
  ck_assert_int_eq(((init_fn *)control("cuInit"))(0), 0);
  ck_assert_int_eq(((create_fn *)control("cuCtxCreate_v2"))(&context, 0, 0), 0);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:0");
  problem p;
  problem_make(&p, 20, 96, 1, 32, 6);
  assert_solves(device, &p, NULL);
  ck_assert_uint_eq(CONTROL(fakecuda_calls)("cuDevicePrimaryCtxRetain"), 0);
  problem_free(&p);
  weir_device_close(device);
  weir_close(runtime);
  ck_assert_int_eq(((destroy_fn *)control("cuCtxDestroy_v2"))(context), 0);
  assert_nothing_lives("the host's own context");
}
END_TEST

/* ---- Kernels ------------------------------------------------------------ */

START_TEST(test_an_old_driver_is_named_with_the_remedy) {
  machine("sm=90", "11040");
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:0");
  const weir_kernel *kernel = NULL;
  ASSERT_FAILS(weir_kernel_get(device, "int4_matvec_vector", "int4_matvec_vector_g32_m1", 0, &kernel), WEIR_E_DRIVER,
               "int4_matvec_vector.sm_90.ptx", "int4_matvec_vector_g32_m1", "11.4", "222", "newer NVIDIA driver", "log");
  ck_assert_ptr_null(kernel);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

START_TEST(test_ptx_that_is_not_there_names_where_it_was_looked_for) {
  machine(NULL, NULL);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:0"), *cpu = open_device(runtime, "cpu");
  const weir_kernel *kernel = NULL;
  ASSERT_FAILS(weir_kernel_get(device, "no_such_ptx", "entry", 0, &kernel), WEIR_E_NOTFOUND, "no_such_ptx", "9.0",
               getenv("WEIR_TEST_PTX"), "WEIR_PTX_PATH");
  ASSERT_FAILS(weir_kernel_get(device, "/no/such/file.ptx", "entry", 0, &kernel), WEIR_E_IO, "/no/such/file.ptx");
  ASSERT_FAILS(weir_kernel_get(device, "quantize_vector", "no_such_entry", 0, &kernel), WEIR_E_DRIVER, "no_such_entry",
               "quantize_vector.sm_90.ptx");
  ASSERT_FAILS(weir_kernel_get(cpu, "quantize_vector", "quantize_vector", 0, &kernel), WEIR_E_UNSUPPORTED,
               "not a CUDA device");
  ASSERT_OK(weir_kernel_get(device, "quantize_vector", "quantize_vector", 0, &kernel));
  weir_launch launch = {.struct_size = sizeof launch, .grid = {1, 1, 1}, .block = {128, 1, 1}};
  launch.flags = 8;
  ASSERT_FAILS(weir_kernel_launch(device, kernel, &launch, NULL, NULL), WEIR_E_FLAGS, "0x8");
  launch.flags = 0;
  launch.grid[1] = 0;
  ASSERT_FAILS(weir_kernel_launch(device, kernel, &launch, NULL, NULL), WEIR_E_SHAPE, "grid[1]");
  weir_device_close(cpu);
  weir_device_close(device);
  weir_close(runtime);
  assert_nothing_lives("kernels by hand");
}
END_TEST

/* ---- Graphs ------------------------------------------------------------- */

struct on_device {
  void *packed, *x, *act, *y;
};

/* Captures quantize and matvec once and replays them with other activations. */
START_TEST(test_a_captured_graph_reads_new_activations) {
  machine(NULL, NULL);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:0");
  problem p, q;
  problem_make(&p, 40, 256, 1, 32, 7);
  problem_make(&q, 40, 256, 1, 32, 7);
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &plan));
  weir_matvec_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_matvec_get(plan, &info));
  ck_assert(info.properties & WEIR_GRAPH_SAFE);
  struct on_device d = {0};
  uint64_t act_size = weir_act_size(plan, 1);
  ASSERT_OK(weir_memory_alloc(device, info.packed_size, &d.packed));
  ASSERT_OK(weir_memory_alloc(device, 256 * 2, &d.x));
  ASSERT_OK(weir_memory_alloc(device, act_size, &d.act));
  ASSERT_OK(weir_memory_alloc(device, 40 * 4, &d.y));
  void *packed = aligned_alloc(256, (info.packed_size + 255) / 256 * 256);
  weir_matvec_source source = {.struct_size = sizeof source, .codes = p.codes, .scales = p.scales};
  ASSERT_OK(weir_pack(plan, &source, 0, 40, packed, info.packed_size));
  ASSERT_OK(weir_memory_upload(device, d.packed, packed, info.packed_size, NULL));
  weir_stream stream = NULL;
  weir_graph *graph = NULL;
  weir_quantize_args quantize = {.struct_size = sizeof quantize, .m = 1, .x = d.x, .act = d.act, .act_size = act_size};
  weir_matvec_args matvec = {.struct_size = sizeof matvec, .m = 1, .packed = d.packed, .act = d.act, .y = d.y};
  ASSERT_OK(weir_stream_create(device, &stream));
  uint64_t allocations = CONTROL(fakecuda_calls)("cuMemAlloc_v2"), loads = CONTROL(fakecuda_calls)("cuModuleLoadDataEx"),
           waits = CONTROL(fakecuda_calls)("cuStreamSynchronize");
  ASSERT_OK(weir_capture_begin(device, stream));
  ASSERT_OK(weir_quantize(plan, &quantize, stream));
  ASSERT_OK(weir_matvec(plan, &matvec, stream));
  ASSERT_OK(weir_capture_end(device, stream, &graph));
  ck_assert_uint_eq(CONTROL(fakecuda_calls)("cuMemAlloc_v2"), allocations);
  ck_assert_uint_eq(CONTROL(fakecuda_calls)("cuModuleLoadDataEx"), loads);
  ck_assert_uint_eq(CONTROL(fakecuda_calls)("cuStreamSynchronize"), waits);
  float y[40];
  for (int sign = 1; sign >= -1; sign -= 2) {
    for (int i = 0; i < 256; i++) q.x[i] = sign > 0 ? p.x[i] : p.x[i] ^ 0x8000;
    ASSERT_OK(weir_memory_upload(device, d.x, q.x, 256 * 2, stream));
    ASSERT_OK(weir_memory_fill(device, d.y, 0xff, sizeof y, stream));
    ASSERT_OK(weir_graph_launch(graph, stream));
    ASSERT_OK(weir_memory_download(device, y, d.y, sizeof y, stream));
    for (int i = 0; i < 40; i++) ck_assert_msg(y[i] == sign * p.want[i], "y[%d] is %g, not %g", i, y[i], sign * p.want[i]);
  }
  free(packed);
  weir_graph_destroy(graph);
  weir_stream_destroy(device, stream);
  weir_memory_free(device, d.packed);
  weir_memory_free(device, d.x);
  weir_memory_free(device, d.act);
  weir_memory_free(device, d.y);
  weir_plan_free(plan);
  problem_free(&p);
  problem_free(&q);
  weir_device_close(device);
  weir_close(runtime);
  assert_nothing_lives("a graph");
}
END_TEST

START_TEST(test_allocating_during_a_capture_is_refused) {
  machine(NULL, NULL);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:0");
  weir_stream stream = NULL;
  weir_graph *graph = (weir_graph *)&stream;
  void *memory = &stream;
  ASSERT_OK(weir_stream_create(device, &stream));
  ASSERT_OK(weir_capture_begin(device, stream));
  ASSERT_FAILS(weir_memory_alloc(device, 64, &memory), WEIR_E_CAPTURE, "64", "900");
  ck_assert_ptr_null(memory);
  ASSERT_FAILS(weir_capture_end(device, stream, &graph), WEIR_E_CAPTURE, "901");
  ck_assert_ptr_null(graph);
  weir_stream_destroy(device, stream);
  weir_device_close(device);
  weir_close(runtime);
  assert_nothing_lives("a broken capture");
}
END_TEST

START_TEST(test_the_cpu_has_no_streams) {
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *cpu = open_device(runtime, "cpu"), *described = open_device(runtime, "cuda:sm=90");
  weir_stream stream = &runtime;
  weir_event *event = NULL;
  ASSERT_FAILS(weir_stream_create(cpu, &stream), WEIR_E_UNSUPPORTED, "weir_stream_create", "CPU");
  ck_assert_ptr_null(stream);
  ASSERT_FAILS(weir_event_create(cpu, &event), WEIR_E_UNSUPPORTED, "weir_event_create");
  ASSERT_FAILS(weir_capture_begin(cpu, NULL), WEIR_E_UNSUPPORTED, "weir_capture_begin");
  ASSERT_FAILS(weir_stream_create(described, &stream), WEIR_E_NODEVICE, "description");
  weir_device_close(described);
  weir_device_close(cpu);
  weir_close(runtime);
}
END_TEST

/* ---- Faults ------------------------------------------------------------- */

static weir_status everything(weir_runtime *runtime, const void *of, bool *out_solved) {
  const problem *p = of;
  weir_device *device = NULL;
  weir_plan *plan = NULL;
  float *y = calloc((size_t)p->m * p->desc.n, sizeof *y);
  weir_status status = weir_device_open(runtime, "cuda:0", &device);
  if (!status) status = weir_plan_matvec(device, &p->desc, &plan);
  if (!status) status = problem_run(p, device, plan, y);
  *out_solved = !status && problem_solved(p, y);
  weir_plan_free(plan);
  weir_device_close(device);
  free(y);
  return status;
}

START_TEST(test_every_driver_call_may_fail) {
  machine(NULL, NULL);
  problem p;
  problem_make(&p, 24, 96, 2, 32, 8);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  assert_every_driver_call_may_fail(runtime, everything, &p, 15);
  weir_close(runtime);
  problem_free(&p);
}
END_TEST

START_TEST(test_memory_that_runs_out_tells_what_is_left) {
  machine("sm=90,mem=1G", NULL);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:0");
  void *memory = &runtime;
  ASSERT_FAILS(weir_memory_alloc(device, 5368709120u, &memory), WEIR_E_NOMEM, "5368709120", "free");
  ck_assert_ptr_null(memory);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("cuda");
  TCase *driver = tcase_create("driver"), *kernels = tcase_create("kernels"), *faults = tcase_create("faults");
  tcase_add_test(driver, test_nothing_is_opened_before_a_device_is_asked_for);
  tcase_add_test(driver, test_a_child_of_fork_uses_the_device);
  tcase_add_test(driver, test_missing_symbols_are_all_named);
  tcase_add_test(driver, test_no_driver_and_no_device);
  tcase_add_test(driver, test_devices_are_described);
  tcase_add_test(driver, test_the_hosts_context_is_used);
  suite_add_tcase(suite, driver);
  tcase_add_test(kernels, test_an_old_driver_is_named_with_the_remedy);
  tcase_add_test(kernels, test_ptx_that_is_not_there_names_where_it_was_looked_for);
  tcase_add_test(kernels, test_a_captured_graph_reads_new_activations);
  tcase_add_test(kernels, test_allocating_during_a_capture_is_refused);
  tcase_add_test(kernels, test_the_cpu_has_no_streams);
  suite_add_tcase(suite, kernels);
  tcase_set_timeout(faults, 120);
  tcase_add_test(faults, test_every_driver_call_may_fail);
  tcase_add_test(faults, test_memory_that_runs_out_tells_what_is_left);
  suite_add_tcase(suite, faults);
  return run_suite(suite);
}

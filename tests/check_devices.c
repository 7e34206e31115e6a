/* SPDX-License-Identifier: MIT */

/* Device names, descriptions of devices that are not here, and device memory. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

static weir_runtime *runtime;

static void open_all(void) {
  runtime = open_runtime(plugin_directory(), NULL);
  setenv("WEIR_CUDA_LIBRARY", "/nonexistent/libcuda.so.1", 1);
}

static void close_all(void) {
  weir_close(runtime);
}

static weir_device_info describe(const char *name) {
  weir_device *device = open_device(runtime, name);
  weir_device_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_device_get(device, &info));
  ck_assert_uint_eq(info.struct_size, sizeof info);
  ck_assert_ptr_nonnull(memchr(info.name, '\0', sizeof info.name));
  weir_device_close(device);
  return info;
}

/* ---- Names -------------------------------------------------------------- */

START_TEST(test_cpu_describes_this_machine) {
  weir_device_info info = describe("cpu");
  ck_assert_uint_eq(info.kind, WEIR_DEVICE_CPU);
  ck_assert_uint_eq(info.flags, 0);
  ck_assert_int_eq(info.ordinal, 0);
  ck_assert_uint_ge(info.threads, 1);
  ck_assert_uint_gt(info.memory_bytes, 1u << 20);
  ck_assert_str_ne(info.name, "");
  ck_assert_uint_eq(info.cc | info.sm_count | info.smem_per_block | info.smem_per_sm | info.driver_version, 0);
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  ck_assert_int_eq((info.cpu_features & WEIR_CPU_AVX2) != 0, avx2);
#endif
}
END_TEST

static const struct {
  const char *name;
  uint32_t features, absent; /* bits that must be there, and must not be */
} isas[] = {
  {"cpu:isa=portable", 0, UINT32_MAX},
#if defined(__x86_64__)
  {"cpu:isa=avx2", WEIR_CPU_AVX2, WEIR_CPU_AVX_VNNI | WEIR_CPU_AVX512 | WEIR_CPU_AVX512_VNNI},
  {"cpu:isa=avx-vnni", WEIR_CPU_AVX2 | WEIR_CPU_AVX_VNNI, WEIR_CPU_AVX512 | WEIR_CPU_AVX512_VNNI},
  {"cpu:isa=avx512", WEIR_CPU_AVX2 | WEIR_CPU_AVX512, WEIR_CPU_AVX512_VNNI},
  {"cpu:isa=avx512-vnni", WEIR_CPU_AVX2 | WEIR_CPU_AVX512 | WEIR_CPU_AVX512_VNNI, 0},
#endif
};

/* A restricted device has no more than it was asked for; where the machine has
 * less, it is only a description. Each that is here gives exact results. */
START_TEST(test_instruction_set) {
  uint32_t here = describe("cpu").cpu_features;
  weir_device_info info = describe(isas[_i].name);
  ck_assert_uint_eq(info.cpu_features & isas[_i].features, isas[_i].features);
  ck_assert_uint_eq(info.cpu_features & isas[_i].absent, 0);
  bool lacking = (isas[_i].features & ~here) != 0;
  ck_assert_int_eq((info.flags & WEIR_DEVICE_SYNTHETIC) != 0, lacking);
  weir_device *device = open_device(runtime, isas[_i].name);
  problem p;
  problem_make(&p, 40, 416, 5, 32, 3);
  if (lacking) {
    weir_plan *plan = (weir_plan *)&p;
    ASSERT_FAILS(weir_plan_matvec(device, &p.desc, &plan), WEIR_E_NODEVICE, "isa|description|machine");
    ck_assert_ptr_null(plan);
    uint32_t count = 0;
    ASSERT_OK(weir_explain_matvec(device, &p.desc, NULL, 0, &count));
    ck_assert_uint_gt(count, 0);
  } else {
    assert_solves(device, &p, NULL);
  }
  problem_free(&p);
  weir_device_close(device);
}
END_TEST

START_TEST(test_thread_count) {
  problem p;
  problem_make(&p, 33, 160, 2, 32, 4);
  for (uint32_t threads = 1; threads <= 5; threads += 2) {
    char name[64];
    snprintf(name, sizeof name, "cpu:threads=%u", threads);
    ck_assert_uint_eq(describe(name).threads, threads);
    snprintf(name, sizeof name, "cpu:isa=portable,threads=%u", threads);
    ck_assert_uint_eq(describe(name).threads, threads);
    ck_assert_uint_eq(describe(name).cpu_features, 0);
    weir_device *device = open_device(runtime, name);
    assert_solves(device, &p, NULL);
    weir_device_close(device);
  }
  problem_free(&p);
}
END_TEST

START_TEST(test_cuda_description) {
  weir_device_info info = describe("cuda:sm=90,sms=132,l2=50M,smem=227K");
  ck_assert_uint_eq(info.kind, WEIR_DEVICE_CUDA);
  ck_assert_uint_eq(info.flags, WEIR_DEVICE_SYNTHETIC);
  ck_assert_uint_eq(info.cc, 90);
  ck_assert_uint_eq(info.sm_count, 132);
  ck_assert_uint_eq(info.cache_bytes, 50u << 20);
  ck_assert_uint_eq(info.smem_per_block, 227u << 10);
  ck_assert_uint_eq(info.threads, 0);
  ck_assert_uint_eq(info.cpu_features, 0);
  info = describe("cuda:smem=99K,l2=6291456,sms=84,sm=86");
  ck_assert_uint_eq(info.cc, 86);
  ck_assert_uint_eq(info.sm_count, 84);
  ck_assert_uint_eq(info.cache_bytes, 6291456);
  ck_assert_uint_eq(info.smem_per_block, 99u << 10);
}
END_TEST

START_TEST(test_description_can_be_asked_and_not_used) {
  weir_device *device = open_device(runtime, "cuda:sm=90,sms=132,l2=50M,smem=227K");
  weir_matvec_desc matvec = small_matvec();
  weir_sdpa_desc sdpa = small_sdpa();
  weir_plan *plan = (weir_plan *)&matvec;
  ASSERT_FAILS(weir_plan_matvec(device, &matvec, &plan), WEIR_E_NODEVICE, "cuda");
  ck_assert_ptr_null(plan);
  plan = (weir_plan *)&matvec;
  ASSERT_FAILS(weir_plan_sdpa(device, &sdpa, &plan), WEIR_E_NODEVICE, "cuda");
  ck_assert_ptr_null(plan);
  weir_candidate list[16];
  for (int i = 0; i < 16; i++) {
    list[i] = (weir_candidate){.struct_size = sizeof list[i]};
  }
  uint32_t count = 0;
  weir_explain_matvec(device, &matvec, list, 16, &count);
  ck_assert_uint_ge(count, 2);
  for (uint32_t i = 0; i < count; i++) {
    ck_assert_msg(strcmp(list[i].plugin, "cpu") != 0 || list[i].state == WEIR_CANDIDATE_REFUSED,
                  "cpu says that it serves CUDA");
    ck_assert_str_ne(list[i].reason, "");
  }
  void *memory = &matvec;
  ASSERT_FAILS(weir_memory_alloc(device, 64, &memory), WEIR_E_NODEVICE, "cuda");
  ck_assert_ptr_null(memory);
  char byte = 0;
  ck_assert_int_ne(weir_memory_upload(device, &byte, &byte, 1, NULL), WEIR_OK);
  ck_assert_int_ne(weir_memory_fill(device, &byte, 7, 1, NULL), WEIR_OK);
  ck_assert_int_ne(weir_synchronize(device, NULL), WEIR_OK);
  ck_assert_int_eq(byte, 0);
  weir_device_close(device);
}
END_TEST

START_TEST(test_cuda_without_a_driver) {
  weir_device *device = (weir_device *)&runtime;
  ASSERT_FAILS(weir_device_open(runtime, "cuda:0", &device), WEIR_E_NODEVICE, "cuda:0|cuda");
  ck_assert_ptr_null(device);
}
END_TEST

/* ---- Malformed names ---------------------------------------------------- */

/* The column counts from 1 and lies in [first,last]. */
static const struct {
  const char *name;
  unsigned first, last;
  const char *words[4];
} malformed[] = {
  {"", 1, 1, {NULL}},
  {"cqu", 1, 1, {"cqu", "cpu"}},
  {"cdua:0", 1, 1, {"cdua", "cuda"}},
  {"gpu", 1, 1, {"gpu"}},
  {"cpux", 1, 4, {"cpux", "cpu"}},
  {"CPU", 1, 1, {"CPU", "cpu"}},
  {" cpu", 1, 1, {NULL}},
  {"cpu:", 4, 5, {NULL}},
  {"cpu:0", 5, 5, {NULL}},
  {"cpu:isa", 5, 8, {"isa"}},
  {"cpu:isa=", 9, 9, {"isa"}},
  {"cpu:isa=avx3", 9, 9, {"avx3", "avx2"}},
  {"cpu:isa=avx2,", 13, 14, {NULL}},
  {"cpu:isa=avx2,,threads=1", 13, 14, {NULL}},
  {"cpu:isa=avx2,isa=avx2", 14, 14, {"isa"}},
  {"cpu:isa=AVX2", 9, 9, {"AVX2", "avx2"}},
  {"cpu:thread=2", 5, 5, {"thread", "threads"}},
  {"cpu:threads=0", 13, 13, {"0"}},
  {"cpu:threads=-1", 13, 13, {NULL}},
  {"cpu:threads=x", 13, 13, {NULL}},
  {"cpu:threads=4x", 13, 14, {NULL}},
  {"cpu:threads=99999999999", 13, 13, {"99999999999"}},
  {"cpu:threads=4294967297", 13, 13, {"4294967297"}},
  {"cpu:isa=avx2;threads=2", 9, 13, {NULL}},
  {"cpu:sm=90", 5, 5, {"sm"}},
  {"cuda:", 5, 6, {NULL}},
  {"cuda:x", 6, 6, {NULL}},
  {"cuda:-1", 6, 6, {NULL}},
  {"cuda:0x", 6, 7, {NULL}},
  {"cuda:0,sm=90", 6, 8, {NULL}},
  {"cuda:sn=90", 6, 6, {"sn", "sm"}},
  {"cuda:sm=", 9, 9, {NULL}},
  {"cuda:sm=9x", 9, 10, {NULL}},
  {"cuda:sm=90,", 11, 12, {NULL}},
  {"cuda:sm=90,sm=80", 12, 12, {"sm"}},
  {"cuda:sm=90,l2=50Q", 15, 17, {NULL}},
  {"cuda:sm=90,l2=M", 15, 15, {NULL}},
  {"cuda:sm=90,l2=99999999999999999999G", 15, 15, {NULL}},
  {"cuda:sm=90,l2=99999999999999999G", 15, 32, {NULL}},
  {"cuda:sm=90,threads=4", 12, 12, {"threads"}},
};

START_TEST(test_malformed_name) {
  weir_device *device = (weir_device *)&runtime;
  assert_fails(weir_device_open(runtime, malformed[_i].name, &device), WEIR_E_SYNTAX, malformed[_i].name, __FILE__,
               __LINE__, malformed[_i].words);
  ck_assert_ptr_null(device);
  unsigned column = error_column();
  ck_assert_msg(malformed[_i].first <= column && column <= malformed[_i].last,
                "\"%s\": column %u..%u expected: \"%s\"", malformed[_i].name, malformed[_i].first, malformed[_i].last,
                weir_last_error());
}
END_TEST

START_TEST(test_null_pointers) {
  weir_device *device = (weir_device *)&runtime;
  weir_device_info info = {.struct_size = sizeof info};
  ASSERT_FAILS(weir_device_open(NULL, "cpu", &device), WEIR_E_NULL, "runtime");
  ck_assert_ptr_null(device);
  device = (weir_device *)&runtime;
  ASSERT_FAILS(weir_device_open(runtime, NULL, &device), WEIR_E_NULL, "name");
  ck_assert_ptr_null(device);
  ASSERT_FAILS(weir_device_open(runtime, "cpu", NULL), WEIR_E_NULL, "out_device");
  ASSERT_FAILS(weir_device_get(NULL, &info), WEIR_E_NULL, "device");
  device = open_device(runtime, "cpu");
  ASSERT_FAILS(weir_device_get(device, NULL), WEIR_E_NULL, "info");
  info.struct_size = 0;
  ASSERT_FAILS(weir_device_get(device, &info), WEIR_E_ABI, "struct_size", "weir_device_info");
  weir_device_close(device);
  weir_device_close(NULL);
}
END_TEST

/* ---- Memory ------------------------------------------------------------- */

START_TEST(test_memory_holds_what_was_uploaded) {
  static const uint64_t sizes[] = {1, 255, 256, 4096, 3000001};
  weir_device *device = open_device(runtime, "cpu");
  for (int i = 0; i < COUNT(sizes); i++) {
    uint64_t size = sizes[i];
    uint8_t *up = malloc(size), *down = calloc(1, size);
    for (uint64_t at = 0; at < size; at++) {
      up[at] = (uint8_t)(at * 31 + at / 256);
    }
    void *memory = NULL;
    ASSERT_OK(weir_memory_alloc(device, size, &memory));
    ck_assert_uint_eq((uintptr_t)memory % 256, 0);
    ASSERT_OK(weir_memory_upload(device, memory, up, size, NULL));
    ASSERT_OK(weir_memory_download(device, down, memory, size, NULL));
    ASSERT_OK(weir_synchronize(device, NULL));
    ck_assert_mem_eq(down, up, size);
    ASSERT_OK(weir_memory_fill(device, memory, 0x1c3, size - 1, NULL));
    ASSERT_OK(weir_memory_download(device, down, memory, size, NULL));
    ASSERT_OK(weir_synchronize(device, NULL));
    uint8_t last = up[size - 1];
    memset(up, 0xc3, size - 1);
    ck_assert_mem_eq(down, up, size - 1);
    ck_assert_uint_eq(down[size - 1], last);
    weir_memory_free(device, memory);
    free(up);
    free(down);
  }
  weir_device_close(device);
}
END_TEST

START_TEST(test_memory_of_no_bytes_and_of_too_many) {
  weir_device *device = open_device(runtime, "cpu");
  void *memory = &device;
  ASSERT_OK(weir_memory_alloc(device, 0, &memory));
  ck_assert_ptr_ne(memory, &device);
  weir_memory_free(device, memory);
  weir_memory_free(device, NULL);
  static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 300, (uint64_t)1 << 60};
  for (int i = 0; i < COUNT(sizes); i++) {
    char size[32];
    snprintf(size, sizeof size, "%llu", (unsigned long long)sizes[i]);
    memory = &device;
    ASSERT_FAILS(weir_memory_alloc(device, sizes[i], &memory), WEIR_E_NOMEM, size);
    ck_assert_ptr_null(memory);
  }
  weir_device_close(device);
}
END_TEST

START_TEST(test_memory_null_pointers) {
  weir_device *device = open_device(runtime, "cpu");
  char bytes[4] = {0};
  void *memory = bytes;
  ASSERT_FAILS(weir_memory_alloc(NULL, 4, &memory), WEIR_E_NULL, "device");
  ck_assert_ptr_null(memory);
  ASSERT_FAILS(weir_memory_alloc(device, 4, NULL), WEIR_E_NULL, "out_memory");
  ASSERT_FAILS(weir_memory_upload(NULL, bytes, bytes, 4, NULL), WEIR_E_NULL, "device");
  ASSERT_FAILS(weir_memory_upload(device, NULL, bytes, 4, NULL), WEIR_E_NULL, "memory");
  ASSERT_FAILS(weir_memory_upload(device, bytes, NULL, 4, NULL), WEIR_E_NULL, "memory");
  ASSERT_FAILS(weir_memory_download(NULL, bytes, bytes, 4, NULL), WEIR_E_NULL, "device");
  ASSERT_FAILS(weir_memory_download(device, NULL, bytes, 4, NULL), WEIR_E_NULL, "memory");
  ASSERT_FAILS(weir_memory_download(device, bytes, NULL, 4, NULL), WEIR_E_NULL, "memory");
  ASSERT_FAILS(weir_memory_fill(NULL, bytes, 0, 4, NULL), WEIR_E_NULL, "device");
  ASSERT_FAILS(weir_memory_fill(device, NULL, 0, 4, NULL), WEIR_E_NULL, "memory");
  ASSERT_FAILS(weir_synchronize(NULL, NULL), WEIR_E_NULL, "device");
  ASSERT_FAILS(weir_synchronize(device, bytes), WEIR_E_INVALID, "stream");
  ASSERT_FAILS(weir_memory_fill(device, bytes, 1, 4, bytes), WEIR_E_INVALID, "stream");
  ck_assert_int_eq(bytes[0], 0);
  weir_device_close(device);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("devices");
  TCase *names = tcase_create("names");
  tcase_add_checked_fixture(names, open_all, close_all);
  tcase_add_test(names, test_cpu_describes_this_machine);
  tcase_add_loop_test(names, test_instruction_set, 0, COUNT(isas));
  tcase_add_test(names, test_thread_count);
  tcase_add_test(names, test_cuda_description);
  tcase_add_test(names, test_description_can_be_asked_and_not_used);
  tcase_add_test(names, test_cuda_without_a_driver);
  tcase_add_loop_test(names, test_malformed_name, 0, COUNT(malformed));
  tcase_add_test(names, test_null_pointers);
  suite_add_tcase(suite, names);
  TCase *memory = tcase_create("memory");
  tcase_add_checked_fixture(memory, open_all, close_all);
  tcase_add_test(memory, test_memory_holds_what_was_uploaded);
  tcase_add_test(memory, test_memory_of_no_bytes_and_of_too_many);
  tcase_add_test(memory, test_memory_null_pointers);
  suite_add_tcase(suite, memory);
  return run_suite(suite);
}

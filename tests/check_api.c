/* SPDX-License-Identifier: MIT */

/* The table of weir_get_api(), and a host that has nothing but that symbol. */
#include "support.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

#define MEMBERS(X)                                                                                          \
  X(last_error) X(status_name) X(version) X(open) X(close) X(select) X(rescan) X(plugin_count)              \
  X(plugin_get) X(device_open) X(device_close) X(device_get) X(memory_alloc) X(memory_free)                 \
  X(memory_upload) X(memory_download) X(memory_fill) X(synchronize)                                         \
  X(stream_create) X(stream_destroy) X(event_create) X(event_destroy) X(event_record) X(event_elapsed)      \
  X(capture_begin) X(capture_end) X(graph_launch) X(graph_destroy) X(kernel_get) X(kernel_launch)           \
  X(plan_matvec) X(plan_sdpa)                                                                               \
  X(plan_free) X(plan_plugin) X(explain_matvec) X(explain_sdpa) X(matvec_get) X(sdpa_get) X(act_size)       \
  X(workspace_size) X(pack) X(quantize) X(matvec) X(linear) X(sdpa) X(gguf_open) X(gguf_close)              \
  X(gguf_tensor_count) X(gguf_tensor) X(gguf_find) X(gguf_int) X(gguf_float) X(gguf_string)                 \
  X(gguf_array_count) X(gguf_array_int) X(gguf_array_float) X(gguf_array_string) X(import_describe)         \
  X(import_rows) X(tensor_rows)

typedef void (*any_fn)(void);

static const struct {
  const char *name;
  size_t offset;
  any_fn linked;
} members[] = {
#define MEMBER(member) {#member, offsetof(weir_api, member), (any_fn)weir_##member},
  MEMBERS(MEMBER)
#undef MEMBER
};

/* Each member has the type of its function: this is a check by the compiler. */
static const weir_api typed __attribute__((unused)) = {
#define MEMBER(member) .member = weir_##member,
  MEMBERS(MEMBER)
#undef MEMBER
};

START_TEST(test_table_is_complete) {
  size_t first = offsetof(weir_api, last_error);
  ck_assert_uint_eq(sizeof(weir_api), first + sizeof(any_fn) * (size_t)COUNT(members));
}
END_TEST

START_TEST(test_table_holds_the_linked_functions) {
  const weir_api *api = weir_get_api(1);
  ck_assert_msg(api != NULL, "%s", weir_last_error());
  for (int i = 0; i < COUNT(members); i++) {
    any_fn held;
    memcpy(&held, (const char *)api + members[i].offset, sizeof held);
    ck_assert_msg(held == members[i].linked, "%s is not weir_%s", members[i].name, members[i].name);
  }
}
END_TEST

START_TEST(test_table_says_what_it_is) {
  const weir_api *api = weir_get_api(WEIR_ABI_MAJOR);
  ck_assert_ptr_nonnull(api);
  ck_assert_uint_eq(api->struct_size, sizeof *api);
  ck_assert_uint_eq(api->abi_major, WEIR_ABI_MAJOR);
  ck_assert_uint_eq(api->abi_minor, WEIR_ABI_MINOR);
  ck_assert_ptr_eq(weir_get_api(1), api);
  ck_assert(WEIR_HAS(api, weir_api, tensor_rows));
}
END_TEST

START_TEST(test_other_major_is_refused) {
  static const struct {
    uint32_t major;
    const char *text;
  } majors[] = {{0, "0"}, {2, "2"}, {77, "77"}, {UINT32_MAX, "4294967295"}};
  for (int i = 0; i < COUNT(majors); i++) {
    ck_assert_ptr_null(weir_get_api(majors[i].major));
    ASSERT_NAMES(weir_last_error(), majors[i].text, "1", "abi");
  }
}
END_TEST

START_TEST(test_status_names) {
  static const struct {
    weir_status status;
    const char *name;
  } names[] = {
    {WEIR_OK, "WEIR_OK"},
    {WEIR_E_INVALID, "WEIR_E_INVALID"},
    {WEIR_E_UNSUPPORTED, "WEIR_E_UNSUPPORTED"},
    {WEIR_E_NOMEM, "WEIR_E_NOMEM"},
    {WEIR_E_NODEVICE, "WEIR_E_NODEVICE"},
    {WEIR_E_DRIVER, "WEIR_E_DRIVER"},
    {WEIR_E_ABI, "WEIR_E_ABI"},
    {WEIR_E_WORKSPACE, "WEIR_E_WORKSPACE"},
    {WEIR_E_CAPTURE, "WEIR_E_CAPTURE"},
    {WEIR_E_INTERNAL, "WEIR_E_INTERNAL"},
    {WEIR_E_NOTFOUND, "WEIR_E_NOTFOUND"},
    {WEIR_E_SYNTAX, "WEIR_E_SYNTAX"},
    {WEIR_E_IO, "WEIR_E_IO"},
    {WEIR_E_FORMAT, "WEIR_E_FORMAT"},
    {WEIR_E_TYPE, "WEIR_E_TYPE"},
    {WEIR_E_SHAPE, "WEIR_E_SHAPE"},
    {WEIR_E_NULL, "WEIR_E_NULL"},
    {WEIR_E_FLAGS, "WEIR_E_FLAGS"},
    {1, "unknown status"},
    {-18, "unknown status"},
    {INT32_MIN, "unknown status"},
    {INT32_MAX, "unknown status"},
  };
  for (int i = 0; i < COUNT(names); i++) {
    ck_assert_str_eq(weir_status_name(names[i].status), names[i].name);
  }
}
END_TEST

START_TEST(test_version_is_three_numbers) {
  unsigned major, minor, patch;
  char rest;
  ck_assert_int_eq(sscanf(weir_version(), "%u.%u.%u%c", &major, &minor, &patch, &rest), 3);
}
END_TEST

/* A success leaves the sentence of the failure before it. */
START_TEST(test_last_error_starts_empty_and_stays) {
  ck_assert_str_eq(weir_last_error(), "");
  ck_assert_ptr_null(weir_get_api(5));
  ck_assert_str_ne(weir_last_error(), "");
  ck_assert_ptr_nonnull(weir_get_api(1));
  ASSERT_NAMES(weir_last_error(), "5");
}
END_TEST

/* ---- weir_options ------------------------------------------------------- */

START_TEST(test_open_checks_its_options) {
  clear_environment();
  weir_options good = {.struct_size = sizeof good, .plugin_path = plugin_directory()}, bad;
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&good, &runtime));
  weir_close(runtime);
  ASSERT_FAILS(weir_open(&good, NULL), WEIR_E_NULL, "out_runtime");
  static const struct {
    size_t offset;
    uint32_t value;
    weir_status status;
    const char *words[4];
  } cases[] = {
    {offsetof(weir_options, struct_size), 0, WEIR_E_ABI, {"struct_size", "0"}},
    {offsetof(weir_options, struct_size), 16, WEIR_E_ABI, {"struct_size", "16"}},
    {offsetof(weir_options, flags), 4, WEIR_E_FLAGS, {"flags", "0x4|4"}},
    {offsetof(weir_options, reserved), 9, WEIR_E_INVALID, {"reserved", "9"}},
  };
  for (int i = 0; i < COUNT(cases); i++) {
    bad = good;
    memcpy((char *)&bad + cases[i].offset, &cases[i].value, sizeof cases[i].value);
    runtime = (weir_runtime *)&bad;
    assert_fails(weir_open(&bad, &runtime), cases[i].status, "weir_open", __FILE__, __LINE__, cases[i].words);
    ck_assert_ptr_null(runtime);
  }
}
END_TEST

/* A host compiled with a later header works as long as it asks for nothing new. */
START_TEST(test_open_takes_longer_options_with_a_zero_tail) {
  clear_environment();
  struct {
    weir_options known;
    uint64_t unknown[2];
  } later = {.known = {.struct_size = sizeof later, .plugin_path = plugin_directory()}};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&later.known, &runtime));
  weir_close(runtime);
  later.unknown[1] = 1;
  runtime = (weir_runtime *)&later;
  ASSERT_FAILS(weir_open(&later.known, &runtime), WEIR_E_ABI, "weir_options|struct_size");
  ck_assert_ptr_null(runtime);
}
END_TEST

START_TEST(test_open_without_options) {
  clear_environment();
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(NULL, &runtime));
  ck_assert_ptr_nonnull(runtime);
  weir_close(runtime);
  weir_close(NULL);
}
END_TEST

/* ---- A host that dlopens ------------------------------------------------ */

START_TEST(test_host_with_one_symbol) {
  const char *library = getenv("WEIR_TEST_LIBWEIR");
  ck_assert_msg(library != NULL, "WEIR_TEST_LIBWEIR is not set");
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  ck_assert_msg(handle != NULL, "%s", dlerror());
  weir_get_api_fn get_api;
  *(void **)&get_api = dlsym(handle, "weir_get_api");
  ck_assert_ptr_nonnull(*(void **)&get_api);
  const weir_api *api = get_api(WEIR_ABI_MAJOR);
  ck_assert_ptr_nonnull(api);
  clear_environment();
  weir_options options = {.struct_size = sizeof options, .plugin_path = bad_plugin("tied_a")};
  weir_runtime *runtime = NULL;
  weir_device *device = NULL;
  weir_plan *plan = NULL;
  weir_matvec_desc desc = small_matvec();
  ck_assert_msg(api->open(&options, &runtime) == WEIR_OK, "%s", api->last_error());
  ck_assert_msg(api->select(runtime, "int4_matvec=tied_a") == WEIR_OK, "%s", api->last_error());
  ck_assert_msg(api->device_open(runtime, "cpu", &device) == WEIR_OK, "%s", api->last_error());
  ck_assert_msg(api->plan_matvec(device, &desc, &plan) == WEIR_OK, "%s", api->last_error());
  ck_assert_str_eq(api->plan_plugin(plan), "tied_a");
  desc.flags = 64;
  weir_plan *none = plan;
  ck_assert_int_eq(api->plan_matvec(device, &desc, &none), WEIR_E_FLAGS);
  ASSERT_NAMES(api->last_error(), "64|0x40");
  api->plan_free(plan);
  api->device_close(device);
  api->close(runtime);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("api");
  TCase *table = tcase_create("table");
  tcase_add_test(table, test_table_is_complete);
  tcase_add_test(table, test_table_holds_the_linked_functions);
  tcase_add_test(table, test_table_says_what_it_is);
  tcase_add_test(table, test_other_major_is_refused);
  tcase_add_test(table, test_status_names);
  tcase_add_test(table, test_version_is_three_numbers);
  tcase_add_test(table, test_last_error_starts_empty_and_stays);
  if (getenv("WEIR_TEST_LIBWEIR") != NULL) {
    tcase_add_test(table, test_host_with_one_symbol);
  }
  suite_add_tcase(suite, table);
  TCase *options = tcase_create("options");
  tcase_add_test(options, test_open_checks_its_options);
  tcase_add_test(options, test_open_takes_longer_options_with_a_zero_tail);
  tcase_add_test(options, test_open_without_options);
  suite_add_tcase(suite, options);
  return run_suite(suite);
}

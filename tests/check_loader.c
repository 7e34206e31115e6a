/* SPDX-License-Identifier: MIT */

/* Which files are looked at, in which order, what a file that cannot be loaded
 * says, and how long a plugin stays. Headers and tables: check_abi.c. */
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

static const char *directory;

static void enter(void) {
  directory = make_directory();
}

static void put(const char *plugin, const char *name) {
  copy_file(bad_plugin(plugin), file_in(directory, name));
}

static void assert_refused(const char *path, const char *const *words) {
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(path, bad_plugin("tied_a")), NULL);
  weir_plugin_info info = {0};
  ck_assert_msg(find_file(runtime, strrchr(path, '/'), &info), "%s is not listed", path);
  ck_assert_msg(info.status != WEIR_OK, "%s was admitted", path);
  ck_assert_str_eq(info.path, path);
  ck_assert(info.name != NULL && info.version != NULL && info.license != NULL && info.description != NULL);
  ASSERT_NAMES(info.name, strrchr(path, '/') + 1);
  ASSERT_NAMES(info.reason, path);
  assert_names(info.reason, __FILE__, __LINE__, words);
  ck_assert_msg(find_admitted(runtime, "tied_a", &info), "a bad neighbour kept tied_a out");
  weir_close(runtime);
}

#define ASSERT_REFUSED(path, ...) assert_refused((path), (const char *const[]){__VA_ARGS__, NULL})

/* ---- Files that cannot be loaded ---------------------------------------- */

START_TEST(test_undefined_symbol_is_found_before_the_first_call) {
  ASSERT_REFUSED(bad_plugin("undefined_symbol"), "weir_test_undefined");
}
END_TEST

START_TEST(test_missing_library_is_named) {
  ASSERT_REFUSED(bad_plugin("needed_missing"), "libweir_test_gone.so.9");
}
END_TEST

START_TEST(test_text_is_no_plugin) {
  const char *path = file_in(directory, "text.so");
  static const char text[] = "#!/bin/sh\necho a shared object I am not, however long I go on about it\n";
  write_file(path, text, sizeof text - 1);
  ASSERT_REFUSED(path, "elf|format|short|header");
}
END_TEST

START_TEST(test_empty_file_is_no_plugin) {
  const char *path = file_in(directory, "empty.so");
  write_file(path, "", 0);
  ASSERT_REFUSED(path, "empty|short|elf");
}
END_TEST

START_TEST(test_truncated_file_is_no_plugin) {
  const char *path = file_in(directory, "truncated.so");
  put("tied_b", "truncated.so");
  ck_assert_int_eq(truncate(path, 200), 0);
  ASSERT_REFUSED(path, "short|header|elf|read|truncated");
}
END_TEST

START_TEST(test_missing_file) {
  const char *path = file_in(directory, "absent.so");
  ASSERT_REFUSED(path, "no such file|not exist|missing");
}
END_TEST

START_TEST(test_circle_of_links) {
  const char *path = file_in(directory, "circle.so");
  ck_assert_int_eq(symlink("circle.so", path), 0);
  ASSERT_REFUSED(path, "symbolic|link|loop");
}
END_TEST

START_TEST(test_dangling_link) {
  const char *path = file_in(directory, "dangling.so");
  ck_assert_int_eq(symlink("nowhere.so", path), 0);
  ASSERT_REFUSED(path, "no such file|not exist|missing|dangling");
}
END_TEST

/* Opening a pipe would wait for a writer: it must not be tried. */
START_TEST(test_pipe_is_no_plugin) {
  const char *path = file_in(directory, "pipe.so");
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  ASSERT_REFUSED(path, "regular|file");
}
END_TEST

START_TEST(test_unreadable_file) {
  const char *path = file_in(directory, "secret.so");
  put("tied_b", "secret.so");
  ck_assert_int_eq(chmod(path, 0), 0);
  if (access(path, R_OK) == 0) {
    printf("test_unreadable_file: skipped, this user may read everything\n");
    return;
  }
  ASSERT_REFUSED(path, "permission");
}
END_TEST

/* A directory named like a plugin is neither loaded nor searched in silence. */
START_TEST(test_directory_named_like_a_plugin) {
  const char *inner = file_in(directory, "inner.so");
  ck_assert_int_eq(mkdir(inner, 0700), 0);
  put("tied_b", "inner.so/tied_b.so");
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(directory, bad_plugin("tied_a")), NULL);
  weir_plugin_info info = {0};
  ck_assert(!find_admitted(runtime, "tied_b", &info));
  ck_assert(find_admitted(runtime, "tied_a", &info));
  if (find_file(runtime, "/inner.so", &info)) {
    ck_assert_int_ne(info.status, WEIR_OK);
    ASSERT_NAMES(info.reason, inner, "directory|regular file");
  }
  weir_close(runtime);
  runtime = open_runtime(inner, NULL);
  if (!find_admitted(runtime, "tied_b", &info)) {
    ck_assert(find_file(runtime, "/inner.so", &info));
    ASSERT_NAMES(info.reason, inner, "directory|regular file");
  }
  weir_close(runtime);
}
END_TEST

/* ---- Where files are looked for ----------------------------------------- */

START_TEST(test_directory_is_scanned_in_the_order_of_names) {
  put("tied_b", "c.so");
  put("high", "a.so");
  put("low", "b.so");
  put("refuser", "B.so");
  weir_runtime *runtime = open_runtime(directory, NULL);
  const char *last = "";
  unsigned found = 0;
  for (uint32_t i = 0; i < weir_plugin_count(runtime); i++) {
    weir_plugin_info info = {.struct_size = sizeof info};
    ASSERT_OK(weir_plugin_get(runtime, i, &info));
    if (strncmp(info.path, directory, strlen(directory)) == 0) {
      ck_assert_msg(strcmp(last, info.path) < 0, "%s comes before %s", last, info.path);
      last = info.path;
      found++;
    }
  }
  ck_assert_uint_eq(found, 4);
  weir_close(runtime);
}
END_TEST

START_TEST(test_only_shared_objects_are_listed) {
  static const char *const others[] = {"/README", "/tied_b.la", "/tied_b.so.bak", "/tied_b.o", "/so", "/tied_b.ptx"};
  for (int i = 0; i < COUNT(others); i++) {
    write_file(file_in(directory, others[i] + 1), "x", 1);
  }
  put("tied_b", ".hidden.so");
  put("high", "high.so");
  weir_runtime *runtime = open_runtime(directory, NULL);
  weir_plugin_info info = {0};
  ck_assert(find_admitted(runtime, "high", &info));
  for (int i = 0; i < COUNT(others); i++) {
    ck_assert_msg(!find_file(runtime, others[i], &info), "%s is listed", info.path);
  }
  ck_assert_msg(!find_file(runtime, "/.hidden.so", &info), "%s is listed", info.path);
  weir_close(runtime);
}
END_TEST

START_TEST(test_earlier_entry_of_the_path_goes_first) {
  const char *one = file_in(directory, "one"), *two = file_in(directory, "two");
  ck_assert_int_eq(mkdir(one, 0700), 0);
  ck_assert_int_eq(mkdir(two, 0700), 0);
  put("tied_a", "one/tied_a.so");
  put("duplicate", "two/tied_a.so");
  weir_plugin_info info = {0};
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(one, two), NULL);
  ck_assert(find_admitted(runtime, "tied_a", &info));
  ck_assert_str_eq(info.path, file_in(one, "tied_a.so"));
  weir_close(runtime);
  runtime = open_runtime(PLUGIN_PATH(two, one), NULL);
  ck_assert(find_admitted(runtime, "tied_a", &info));
  ck_assert_str_eq(info.path, file_in(two, "tied_a.so"));
  weir_close(runtime);
}
END_TEST

START_TEST(test_absent_directory_is_no_failure) {
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(file_in(directory, "none"), bad_plugin("tied_a")), NULL);
  weir_plugin_info info = {0};
  ck_assert(find_admitted(runtime, "tied_a", &info));
  weir_close(runtime);
}
END_TEST

/* Relative paths would depend on the working directory: they are refused, in
 * words, and what they would have found is not loaded. */
START_TEST(test_relative_path_is_refused) {
  static const char *const paths[] = {"plugins", "plugins/tied_b.so", "./plugins", "../x", "tied_b.so", "."};
  ck_assert_int_eq(mkdir(file_in(directory, "plugins"), 0700), 0);
  put("tied_b", "plugins/tied_b.so");
  put("tied_b", "tied_b.so");
  ck_assert_int_eq(chdir(directory), 0);
  clear_environment();
  for (int i = 0; i < COUNT(paths); i++) {
    weir_options options = {.struct_size = sizeof options, .plugin_path = paths[i]};
    weir_runtime *runtime = NULL;
    weir_status status = weir_open(&options, &runtime);
    weir_plugin_info info = {0};
    if (status != WEIR_OK) {
      ck_assert_ptr_null(runtime);
      ASSERT_NAMES(weir_last_error(), paths[i], "absolute");
    } else {
      ck_assert_msg(!find_admitted(runtime, "tied_b", &info), "%s was searched", paths[i]);
      ck_assert_msg(find_file(runtime, paths[i], &info), "%s is not listed", paths[i]);
      ASSERT_NAMES(info.reason, paths[i], "absolute");
    }
    weir_close(runtime);
  }
  ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(test_working_directory_is_never_searched) {
  static const char *const paths[] = {"", ":", "::", NULL};
  put("tied_b", "tied_b.so");
  ck_assert_int_eq(chdir(directory), 0);
  clear_environment();
  setenv("LD_LIBRARY_PATH", directory, 1);
  setenv("LTDL_LIBRARY_PATH", directory, 1);
  for (int i = 0; i < COUNT(paths); i++) {
    weir_options options = {.struct_size = sizeof options, .plugin_path = paths[i]};
    weir_runtime *runtime = NULL;
    weir_plugin_info info = {0};
    if (weir_open(&options, &runtime) == WEIR_OK) {
      ck_assert(!find_admitted(runtime, "tied_b", &info));
    } else {
      ASSERT_NAMES(weir_last_error(), "absolute|empty");
    }
    weir_close(runtime);
  }
  ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* Whoever may write the file may run code in the host: it is used, with a warning. */
START_TEST(test_file_that_all_may_write_is_warned_of) {
  static log_lines lines;
  const char *path = file_in(directory, "tied_b.so");
  put("tied_b", "tied_b.so");
  ck_assert_int_eq(chmod(path, 0777), 0);
  clear_environment();
  weir_options options = {.struct_size = sizeof options,
                          .plugin_path = path,
                          .log = "warn",
                          .log_fn = collect_line,
                          .log_user = &lines};
  weir_runtime *runtime = NULL;
  weir_plugin_info info = {0};
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert(find_admitted(runtime, "tied_b", &info));
  ASSERT_NAMES(lines.text, path, "writ", "2 ");
  weir_close(runtime);
  ck_assert_int_eq(chmod(path, 0755), 0);
  lines = (log_lines){0};
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_str_eq(lines.text, "");
  weir_close(runtime);
}
END_TEST

/* ---- Looking again ------------------------------------------------------ */

START_TEST(test_rescan_admits_what_is_new_and_keeps_what_is_there) {
  put("low", "low.so");
  weir_runtime *runtime = open_runtime(directory, NULL);
  weir_plugin_info old = {0}, info = {0};
  ck_assert(find_admitted(runtime, "low", &old));
  ck_assert(!find_admitted(runtime, "high", &info));
  uint32_t before = weir_plugin_count(runtime), admitted = 99;
  ASSERT_OK(weir_rescan(runtime, &admitted));
  ck_assert_uint_eq(admitted, 0);
  ck_assert_uint_eq(weir_plugin_count(runtime), before);
  put("high", "high.so");
  write_file(file_in(directory, "text.so"), "text", 4);
  ASSERT_OK(weir_rescan(runtime, &admitted));
  ck_assert_uint_eq(admitted, 1);
  ck_assert_uint_eq(weir_plugin_count(runtime), before + 2);
  ck_assert(find_admitted(runtime, "high", &info));
  ck_assert(find_file(runtime, "/text.so", &info));
  ASSERT_OK(weir_rescan(runtime, &admitted));
  ck_assert_uint_eq(admitted, 0);
  ck_assert_uint_eq(weir_plugin_count(runtime), before + 2);
  ck_assert_str_eq(old.name, "low");
  ck_assert_str_eq(old.path, file_in(directory, "low.so"));
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  ck_assert_str_eq(weir_plan_plugin(plan), "high");
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

START_TEST(test_rescan_forgives_a_file_that_became_good) {
  const char *path = file_in(directory, "late.so");
  write_file(path, "half", 4);
  weir_runtime *runtime = open_runtime(directory, NULL);
  weir_plugin_info info = {0};
  ck_assert(find_file(runtime, "/late.so", &info));
  ck_assert_int_ne(info.status, WEIR_OK);
  ck_assert_int_eq(unlink(path), 0);
  put("tied_b", "late.so");
  uint32_t admitted = 0;
  ASSERT_OK(weir_rescan(runtime, &admitted));
  ck_assert_uint_eq(admitted, 1);
  ck_assert(find_admitted(runtime, "tied_b", &info));
  weir_close(runtime);
}
END_TEST

START_TEST(test_rescan_null_pointers) {
  weir_runtime *runtime = open_runtime(directory, NULL);
  uint32_t admitted = 9;
  ASSERT_FAILS(weir_rescan(NULL, &admitted), WEIR_E_NULL, "runtime");
  ck_assert_uint_eq(admitted, 0);
  ASSERT_OK(weir_rescan(runtime, NULL));
  weir_close(runtime);
}
END_TEST

/* ---- How long a plugin stays -------------------------------------------- */

static bool is_loaded(const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD | RTLD_LOCAL);
  if (handle != NULL) {
    dlclose(handle);
  }
  return handle != NULL;
}

START_TEST(test_plugin_stays_resident_unless_it_promised) {
  const char *resident = bad_plugin("tied_a"), *unloadable = bad_plugin("unloadable");
  ck_assert(!is_loaded(resident) && !is_loaded(unloadable));
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(resident, unloadable), NULL);
  ck_assert(is_loaded(resident) && is_loaded(unloadable));
  weir_close(runtime);
  ck_assert(is_loaded(resident));
  ck_assert(!is_loaded(unloadable));
}
END_TEST

START_TEST(test_plugin_stays_while_a_plan_uses_it) {
  const char *path = bad_plugin("unloadable");
  weir_runtime *runtime = open_runtime(path, "int4_matvec=unloadable");
  weir_device *device = open_device(runtime, "cpu");
  problem p;
  problem_make(&p, 8, 128, 2, 32, 1);
  weir_plan *plan = NULL;
  float y[16];
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &plan));
  weir_close(runtime);
  ck_assert(is_loaded(path));
  ASSERT_OK(problem_run(&p, device, plan, y));
  ck_assert_float_eq(y[15], 60.0f);
  weir_device_close(device);
  ck_assert(is_loaded(path));
  weir_plan_free(plan);
  ck_assert(!is_loaded(path));
  problem_free(&p);
}
END_TEST

START_TEST(test_plugin_of_two_runtimes_goes_with_the_last) {
  const char *path = bad_plugin("unloadable");
  weir_runtime *one = open_runtime(path, NULL), *two = open_runtime(path, NULL);
  weir_close(one);
  ck_assert(is_loaded(path));
  weir_plugin_info info = {0};
  ck_assert(find_admitted(two, "unloadable", &info));
  weir_close(two);
  ck_assert(!is_loaded(path));
}
END_TEST

START_TEST(test_symbols_of_plugins_are_not_shared) {
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin("tied_a"), bad_plugin("tied_b")), NULL);
  weir_plugin_info info = {0};
  ck_assert(find_admitted(runtime, "tied_a", &info));
  ck_assert(find_admitted(runtime, "tied_b", &info));
  ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "weir_plugin_v1"));
  weir_close(runtime);
}
END_TEST

START_TEST(test_init_and_fini_run_once_a_runtime) {
  static log_lines lines;
  clear_environment();
  weir_options options = {.struct_size = sizeof options,
                          .plugin_path = bad_plugin("chatty"),
                          .log = "chatty:error",
                          .log_fn = collect_line,
                          .log_user = &lines};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_str_eq(lines.text, "1 chatty: says error 1\n");
  uint32_t admitted = 0;
  ASSERT_OK(weir_rescan(runtime, &admitted));
  weir_device *device = open_device(runtime, "cpu");
  weir_close(runtime);
  ck_assert_uint_eq(lines.count, 1);
  weir_device_close(device);
  ck_assert_str_eq(lines.text, "1 chatty: says error 1\n1 chatty: says goodbye\n");
}
END_TEST

/* The library never prints by itself, whatever it finds. */
START_TEST(test_nothing_is_printed) {
  const char *path = file_in(directory, "printed");
  int kept_out = dup(STDOUT_FILENO), kept_error = dup(STDERR_FILENO);
  int file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
  ck_assert_int_ge(file, 0);
  fflush(NULL);
  dup2(file, STDOUT_FILENO);
  dup2(file, STDERR_FILENO);
  weir_runtime *runtime =
    open_runtime(PLUGIN_PATH(bad_plugin("abi_major_2"), bad_plugin("undefined_symbol"), bad_plugin("needed_missing"),
                             bad_plugin("chatty"), file_in(directory, "absent.so")),
                 "nosuch");
  weir_close(runtime);
  fflush(NULL);
  dup2(kept_out, STDOUT_FILENO);
  dup2(kept_error, STDERR_FILENO);
  char text[256] = "";
  ck_assert_int_ge(pread(file, text, sizeof text - 1, 0), 0);
  ck_assert_str_eq(text, "");
  close(file);
  close(kept_out);
  close(kept_error);
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *const *tests) {
  TCase *group = tcase_create(name);
  tcase_add_checked_fixture(group, enter, remove_directory);
  for (; *tests != NULL; tests++) {
    tcase_add_test(group, *tests);
  }
  suite_add_tcase(suite, group);
}

#define GROUP(suite, name, ...) add((suite), (name), (const TTest *const[]){__VA_ARGS__, NULL})

int main(void) {
  Suite *suite = suite_create("loader");
  GROUP(suite, "refused", test_undefined_symbol_is_found_before_the_first_call, test_missing_library_is_named,
        test_text_is_no_plugin, test_empty_file_is_no_plugin, test_truncated_file_is_no_plugin, test_missing_file,
        test_circle_of_links, test_dangling_link, test_pipe_is_no_plugin, test_unreadable_file,
        test_directory_named_like_a_plugin);
  GROUP(suite, "search", test_directory_is_scanned_in_the_order_of_names, test_only_shared_objects_are_listed,
        test_earlier_entry_of_the_path_goes_first, test_absent_directory_is_no_failure, test_relative_path_is_refused,
        test_working_directory_is_never_searched, test_file_that_all_may_write_is_warned_of);
  GROUP(suite, "rescan", test_rescan_admits_what_is_new_and_keeps_what_is_there,
        test_rescan_forgives_a_file_that_became_good, test_rescan_null_pointers);
  GROUP(suite, "life", test_plugin_stays_resident_unless_it_promised, test_plugin_stays_while_a_plan_uses_it,
        test_plugin_of_two_runtimes_goes_with_the_last,
        test_symbols_of_plugins_are_not_shared, test_init_and_fini_run_once_a_runtime, test_nothing_is_printed);
  return run_suite(suite);
}

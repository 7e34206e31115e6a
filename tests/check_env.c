/* SPDX-License-Identifier: MIT */

/* The variables of the environment, each against the option that replaces it. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

static log_lines lines;

static void start(void) {
  clear_environment();
  lines = (log_lines){0};
}

static weir_status open_and_close(weir_options options) {
  weir_runtime *runtime = NULL;
  options.struct_size = sizeof options;
  weir_status status = weir_open(&options, &runtime);
  ck_assert_int_eq(status == WEIR_OK, runtime != NULL);
  weir_close(runtime);
  return status;
}

/* ---- WEIR_PLUGIN_PATH, WEIR_PLUGINS ------------------------------------- */

START_TEST(test_plugin_path_variable_and_its_option) {
  weir_options options = {.struct_size = sizeof options};
  weir_runtime *runtime = NULL;
  weir_plugin_info info = {0};
  setenv("WEIR_PLUGIN_PATH", bad_plugin("tied_a"), 1);
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert(find_admitted(runtime, "tied_a", &info));
  weir_close(runtime);
  options.plugin_path = bad_plugin("tied_b");
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert(find_admitted(runtime, "tied_b", &info));
  ck_assert(!find_file(runtime, "/tied_a.so", &info));
  weir_close(runtime);
  options.plugin_path = "";
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert(!find_file(runtime, "/tied_a.so", &info));
  weir_close(runtime);
}
END_TEST

START_TEST(test_malformed_plugins_variable) {
  setenv("WEIR_PLUGINS", "ref,,cpu", 1);
  ASSERT_FAILS(open_and_close((weir_options){0}), WEIR_E_SYNTAX, "WEIR_PLUGINS", "column");
  ASSERT_OK(open_and_close((weir_options){.selection = ""}));
  weir_runtime *runtime = (weir_runtime *)&lines;
  ASSERT_FAILS(weir_open(NULL, &runtime), WEIR_E_SYNTAX, "WEIR_PLUGINS", "column");
  ck_assert_ptr_null(runtime);
}
END_TEST

/* ---- WEIR_LOG ----------------------------------------------------------- */

#define E1 "1 chatty: says error 1\n"
#define E2 "2 chatty: says warn 2\n"
#define E3 "3 chatty: says info 3\n"
#define E4 "4 chatty: says debug 4\n"
#define E5 "5 chatty: says trace 5\n"
#define BYE "1 chatty: says goodbye\n"

static const struct {
  const char *log, *want; /* lines of the area chatty, up to where it ends */
} levels[] = {
  {"error", E1},
  {"warn", E1 E2},
  {"info", E1 E2 E3},
  {"debug", E1 E2 E3 E4},
  {"trace", E1 E2 E3 E4 E5},
  {"chatty:trace", E1 E2 E3 E4 E5},
  {"chatty:info", E1 E2 E3},
  {"error,chatty:debug", E1 E2 E3 E4},
  {"chatty:debug,error", E1 E2 E3 E4},
  {"trace,chatty:warn", E1 E2},
  {"error,chatt:trace", E1},
  {"error,chatty2:trace", E1},
  {"error,ref:trace,chatty:info", E1 E2 E3},
};

/* Only the lines of one area. */
static void keep_area(const char *area, char *text) {
  char prefix[32], kept[sizeof lines.text] = "";
  snprintf(prefix, sizeof prefix, " %s: ", area);
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (strncmp(line + 1, prefix, strlen(prefix)) == 0) {
      strcat(strcat(kept, line), "\n");
    }
  }
  strcpy(text, kept);
}

START_TEST(test_log_level_of_an_area) {
  char want[1024];
  snprintf(want, sizeof want, "%s%s", levels[_i].want, BYE);
  weir_options options = {.plugin_path = bad_plugin("chatty"), .log_fn = collect_line, .log_user = &lines};
  options.log = levels[_i].log;
  ASSERT_OK(open_and_close(options));
  keep_area("chatty", lines.text);
  ck_assert_msg(strcmp(lines.text, want) == 0, "\"%s\" gave\n%s", levels[_i].log, lines.text);
  lines = (log_lines){0};
  options.log = NULL;
  setenv("WEIR_LOG", levels[_i].log, 1);
  ASSERT_OK(open_and_close(options));
  keep_area("chatty", lines.text);
  ck_assert_str_eq(lines.text, want);
}
END_TEST

START_TEST(test_log_option_replaces_the_variable) {
  setenv("WEIR_LOG", "trace", 1);
  ASSERT_OK(open_and_close((weir_options){
    .plugin_path = bad_plugin("chatty"), .log = "error", .log_fn = collect_line, .log_user = &lines}));
  ck_assert_str_eq(lines.text, E1 BYE);
  setenv("WEIR_LOG", "loud", 1);
  ASSERT_OK(open_and_close((weir_options){.log = "error", .log_fn = collect_line, .log_user = &lines}));
}
END_TEST

START_TEST(test_log_lines_are_lines) {
  ASSERT_OK(open_and_close((weir_options){.plugin_path = PLUGIN_PATH(bad_plugin("abi_major_2"), plugin_directory()),
                                          .selection = "nosuch",
                                          .log = "trace",
                                          .log_fn = collect_line,
                                          .log_user = &lines}));
  ck_assert_uint_gt(lines.count, 0);
  unsigned newlines = 0;
  for (const char *at = lines.text; *at != '\0'; at++) {
    newlines += *at == '\n';
  }
  ck_assert_uint_eq(newlines, lines.count);
  ASSERT_NAMES(lines.text, bad_plugin("abi_major_2"));
}
END_TEST

/* A refused plugin is a warning. */
START_TEST(test_refused_plugin_is_logged) {
  ASSERT_OK(open_and_close((weir_options){
    .plugin_path = bad_plugin("abi_major_2"), .log = "warn", .log_fn = collect_line, .log_user = &lines}));
  ASSERT_NAMES(lines.text, bad_plugin("abi_major_2"), "2 ");
}
END_TEST

static const struct {
  const char *log;
  unsigned first, last;
  const char *words[4];
} bad_logs[] = {
  {"loud", 1, 1, {"loud"}},
  {"debgu", 1, 1, {"debgu", "debug"}},
  {",", 1, 1, {NULL}},
  {"info,", 5, 6, {NULL}},
  {"info,,warn", 5, 6, {NULL}},
  {"chatty:", 7, 8, {NULL}},
  {":debug", 1, 1, {NULL}},
  {"chatty:loud", 8, 8, {"loud"}},
  {"info,chatty:loud", 13, 13, {"loud"}},
  {"chatty:info:debug", 8, 12, {NULL}},
  {"7", 1, 1, {"7"}},
};

START_TEST(test_malformed_log) {
  assert_fails(open_and_close((weir_options){.log = bad_logs[_i].log}), WEIR_E_SYNTAX, bad_logs[_i].log, __FILE__,
               __LINE__, bad_logs[_i].words);
  unsigned column = error_column();
  ck_assert_msg(bad_logs[_i].first <= column && column <= bad_logs[_i].last, "\"%s\": \"%s\"", bad_logs[_i].log,
                weir_last_error());
  setenv("WEIR_LOG", bad_logs[_i].log, 1);
  ASSERT_FAILS(open_and_close((weir_options){0}), WEIR_E_SYNTAX, "WEIR_LOG", "column");
}
END_TEST

/* Without log_fn the lines go to stderr, and only when they were asked for. */
static void stderr_of_chatty(const char *variable, const char *option, char *text, size_t size) {
  char path[] = "/tmp/weir-test-XXXXXX";
  int file = mkstemp(path), kept = dup(STDERR_FILENO);
  ck_assert_int_ge(file, 0);
  unlink(path);
  clear_environment();
  if (variable != NULL) {
    setenv("WEIR_LOG", variable, 1);
  }
  dup2(file, STDERR_FILENO);
  weir_status status = open_and_close((weir_options){.plugin_path = bad_plugin("chatty"), .log = option});
  dup2(kept, STDERR_FILENO);
  ASSERT_OK(status);
  ssize_t got = pread(file, text, size - 1, 0);
  ck_assert_int_ge(got, 0);
  text[got] = '\0';
  close(file);
  close(kept);
}

START_TEST(test_lines_on_stderr) {
  char text[8192];
  stderr_of_chatty(NULL, NULL, text, sizeof text);
  ck_assert_str_eq(text, "");
  stderr_of_chatty("warn", NULL, text, sizeof text);
  ASSERT_NAMES(text, "weir", "chatty", "says error 1", "says warn 2", "says goodbye");
  ck_assert(!text_has(text, "says info 3"));
  stderr_of_chatty(NULL, "chatty:info", text, sizeof text);
  ASSERT_NAMES(text, "says info 3");
}
END_TEST

/* ---- WEIR_THREADS ------------------------------------------------------- */

static uint32_t threads_of(uint32_t option) {
  weir_options options = {.struct_size = sizeof options, .threads = option};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  weir_device *device = open_device(runtime, "cpu");
  weir_device_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_device_get(device, &info));
  weir_device_close(device);
  weir_close(runtime);
  return info.threads;
}

START_TEST(test_threads_variable_and_its_option) {
  ck_assert_uint_ge(threads_of(0), 1);
  ck_assert_uint_eq(threads_of(3), 3);
  setenv("WEIR_THREADS", "2", 1);
  ck_assert_uint_eq(threads_of(0), 2);
  ck_assert_uint_eq(threads_of(5), 5);
  setenv("WEIR_THREADS", "1", 1);
  ck_assert_uint_eq(threads_of(0), 1);
}
END_TEST

START_TEST(test_malformed_threads) {
  static const char *const texts[] = {"0", "-1", "x", "4x", " 4", "1.5", "99999999999", "4294967297", "+2", "0x4"};
  for (int i = 0; i < COUNT(texts); i++) {
    setenv("WEIR_THREADS", texts[i], 1);
    ASSERT_FAILS(open_and_close((weir_options){0}), WEIR_E_SYNTAX, "WEIR_THREADS", texts[i]);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("env");
  TCase *all = tcase_create("env");
  tcase_add_checked_fixture(all, start, NULL);
  tcase_add_test(all, test_plugin_path_variable_and_its_option);
  tcase_add_test(all, test_malformed_plugins_variable);
  tcase_add_loop_test(all, test_log_level_of_an_area, 0, COUNT(levels));
  tcase_add_test(all, test_log_option_replaces_the_variable);
  tcase_add_test(all, test_log_lines_are_lines);
  tcase_add_test(all, test_refused_plugin_is_logged);
  tcase_add_loop_test(all, test_malformed_log, 0, COUNT(bad_logs));
  tcase_add_test(all, test_lines_on_stderr);
  tcase_add_test(all, test_threads_variable_and_its_option);
  tcase_add_test(all, test_malformed_threads);
  suite_add_tcase(suite, all);
  return run_suite(suite);
}

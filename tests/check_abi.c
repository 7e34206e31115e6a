/* SPDX-License-Identifier: MIT */

/* What the host makes of a plugin's header and tables: each module of
 * tests/badplugins has one defect. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

/* Every refusal says what to do, by one of these verbs; where init() fails, what to do is
 * for the plugin's own sentence. */
#define REMEDY "build|compile|link|install|remove|rename|clear|use |set |give|add|define|must|export|update|upgrade|fill"

static const struct {
  const char *file;
  weir_status status; /* WEIR_OK: any failure */
  const char *words[6];
} defects[] = {
  {"abi_major_2", WEIR_E_ABI, {"2", "1", "abi"}},
  {"bad_magic", WEIR_E_ABI, {"magic", "31415926"}},
  {"symbol_missing", WEIR_OK, {"weir_plugin_v1"}},
  {"flag_unknown", WEIR_E_FLAGS, {"0x80", "flag"}},
  {"sanitizer_mismatch", WEIR_E_ABI, {"sanitize", "thread|memory"}},
  {"header_short", WEIR_E_ABI, {"20", "size|short|end|miss"}},
  {"table_short", WEIR_E_ABI, {"int4_matvec", "matvec"}},
  {"table_half_member", WEIR_E_ABI, {"int4_matvec", "matvec"}},
  {"table_size_zero", WEIR_E_ABI, {"int4_matvec", "score|size"}},
  {"member_null", WEIR_OK, {"int4_matvec", "pack"}},
  {"vtable_null", WEIR_OK, {"int4_matvec", "null|table"}},
  {"ops_null", WEIR_OK, {"ops|operations", "null|list"}},
  {"name_null", WEIR_OK, {"name"}},
  {"name_empty", WEIR_OK, {"name"}},
  {"name_characters", WEIR_OK, {"name", "Bad,Name"}},
  {"name_auto", WEIR_OK, {"name", "auto"}},
  {"init_fails", WEIR_E_NODEVICE, {"init", "the abacus has 7 beads too few"}},
  {"init_fails_silently", WEIR_E_NOMEM, {"init", "WEIR_E_NOMEM"}},
};

static bool printable(const weir_plugin_info *info) {
  return info->name != NULL && info->version != NULL && info->license != NULL && info->description != NULL &&
         info->path != NULL && info->reason != NULL;
}

START_TEST(test_defect_is_refused_with_file_cause_and_remedy) {
  const char *path = bad_plugin(defects[_i].file);
  const char *file = strrchr(path, '/');
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(path, bad_plugin("tied_a")), NULL);
  weir_plugin_info info;
  ck_assert_msg(find_file(runtime, file, &info), "%s is not listed", path);
  ck_assert_msg(info.status != WEIR_OK, "%s was admitted", path);
  if (defects[_i].status != WEIR_OK) {
    ck_assert_msg(info.status == defects[_i].status, "%s: %s: %s", path, weir_status_name(info.status), info.reason);
  }
  ck_assert(printable(&info));
  ck_assert_str_eq(info.path, path);
  ASSERT_NAMES(info.name, defects[_i].file);
  ASSERT_NAMES(info.reason, path);
  if (strncmp(defects[_i].file, "init_", 5) != 0) {
    ASSERT_NAMES(info.reason, REMEDY);
  }
  assert_names(info.reason, __FILE__, __LINE__, defects[_i].words);
  ck_assert_msg(find_admitted(runtime, "tied_a", &info), "a bad neighbour kept tied_a out");
  weir_close(runtime);
}
END_TEST

/* The reason is at hand where the plugin is missed. */
START_TEST(test_forced_defect_is_named_with_its_reason) {
  const char *path = bad_plugin(defects[_i].file);
  char selection[128];
  snprintf(selection, sizeof selection, "int4_matvec=%s", defects[_i].file);
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(path, bad_plugin("tied_a")), selection);
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = (weir_plan *)&desc;
  ck_assert_int_ne(weir_plan_matvec(device, &desc, &plan), WEIR_OK);
  ck_assert_ptr_null(plan);
  ASSERT_NAMES(weir_last_error(), path);
  assert_names(weir_last_error(), __FILE__, __LINE__, defects[_i].words);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

/* ---- What is admitted --------------------------------------------------- */

static const struct {
  const char *file;
  float mark;
} admitted[] = {
  {"minor_newer", 100.0f},
  {"member_optional_null", 70.0f},
  {"op_unknown", 80.0f},
  {"roomy", 50.0f},
};

START_TEST(test_odd_but_legal_plugin_works) {
  char selection[128];
  snprintf(selection, sizeof selection, "int4_matvec=%s", admitted[_i].file);
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin(admitted[_i].file)), selection);
  weir_plugin_info info = {0};
  bool found = find_admitted(runtime, admitted[_i].file, &info);
  ck_assert_msg(found, "%s was refused", admitted[_i].file);
  ck_assert(printable(&info));
  ck_assert_str_eq(info.version, "1.2.3");
  ck_assert_str_eq(info.license, "MIT");
  ck_assert_str_eq(info.description, "a test plugin");
  ck_assert_str_eq(info.path, bad_plugin(admitted[_i].file));
  ck_assert_str_eq(info.reason, "");
  ck_assert_uint_eq(info.ops, 1u << WEIR_OP_INT4_MATVEC);
  ck_assert_uint_eq(info.abi_major, 1);
  weir_device *device = open_device(runtime, "cpu");
  problem p;
  problem_make(&p, 8, 128, 2, 32, 1);
  float y[16];
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &plan));
  ASSERT_OK(problem_run(&p, device, plan, y));
  for (int i = 0; i < 16; i++) {
    ck_assert_float_eq(y[i], admitted[_i].mark);
  }
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
  problem_free(&p);
}
END_TEST

START_TEST(test_newer_minor_is_told) {
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin("minor_newer")), NULL);
  weir_plugin_info info = {0};
  ck_assert(find_admitted(runtime, "minor_newer", &info));
  ck_assert_uint_eq(info.abi_minor, 7);
  weir_close(runtime);
}
END_TEST

START_TEST(test_absent_optional_member_answers_zero) {
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin("member_optional_null"), bad_plugin("roomy")),
                                       "int4_matvec=member_optional_null");
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  ck_assert_uint_eq(weir_workspace_size(plan, 2), 0);
  weir_plan_free(plan);
  ASSERT_OK(weir_select(runtime, "int4_matvec=roomy"));
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  ck_assert_uint_eq(weir_workspace_size(plan, 2), 2000);
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

/* An operation of a later ABI is not offered, and is in the log. */
START_TEST(test_unknown_operation_is_logged) {
  static log_lines lines;
  clear_environment();
  weir_options options = {.struct_size = sizeof options,
                          .plugin_path = bad_plugin("op_unknown"),
                          .log = "debug",
                          .log_fn = collect_line,
                          .log_user = &lines};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  ASSERT_NAMES(lines.text, "99", "op_unknown");
  weir_close(runtime);
}
END_TEST

START_TEST(test_duplicate_name_is_refused_and_the_first_serves) {
  const char *first = bad_plugin("tied_a"), *second = bad_plugin("duplicate");
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(first, second), NULL);
  weir_plugin_info info = {0};
  ck_assert(find_admitted(runtime, "tied_a", &info));
  ck_assert_str_eq(info.path, first);
  ck_assert(find_file(runtime, "/duplicate.so", &info));
  ck_assert_int_ne(info.status, WEIR_OK);
  ASSERT_NAMES(info.reason, "tied_a", first, second);
  weir_close(runtime);
  runtime = open_runtime(PLUGIN_PATH(second, first), NULL);
  ck_assert(find_admitted(runtime, "tied_a", &info));
  ck_assert_str_eq(info.path, second);
  weir_close(runtime);
}
END_TEST

/* ---- Plugins that misbehave later --------------------------------------- */

static weir_status plan_with(const char *name, char *reason) {
  char selection[128];
  snprintf(selection, sizeof selection, "int4_matvec=%s", name);
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin(name), bad_plugin("tied_a")), selection);
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = NULL;
  weir_candidate list[16];
  uint32_t count = 0;
  for (int i = 0; i < 16; i++) {
    list[i] = (weir_candidate){.struct_size = sizeof list[i]};
  }
  weir_explain_matvec(device, &desc, list, 16, &count);
  reason[0] = '\0';
  for (uint32_t i = 0; i < count && i < 16; i++) {
    if (strcmp(list[i].plugin, name) == 0) {
      ck_assert_ptr_nonnull(memchr(list[i].reason, '\0', WEIR_REASON_MAX));
      strcpy(reason, list[i].reason);
    }
  }
  weir_status status = weir_plan_matvec(device, &desc, &plan);
  ck_assert_int_eq(status == WEIR_OK, plan != NULL);
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
  return status;
}

START_TEST(test_host_services) {
  char reason[WEIR_REASON_MAX];
  ASSERT_FAILS(plan_with("host_probe", reason), WEIR_E_UNSUPPORTED, "all services keep their word");
}
END_TEST

START_TEST(test_endless_reason_is_cut) {
  char reason[WEIR_REASON_MAX];
  ASSERT_OK(plan_with("reason_endless", reason));
  ck_assert_uint_eq(strlen(reason), WEIR_REASON_MAX - 1);
}
END_TEST

START_TEST(test_negative_score_is_a_refusal) {
  char reason[WEIR_REASON_MAX];
  ASSERT_FAILS(plan_with("score_negative", reason), WEIR_E_UNSUPPORTED, "score_negative");
}
END_TEST

START_TEST(test_silent_refusal_still_has_a_reason) {
  char reason[WEIR_REASON_MAX];
  ASSERT_FAILS(plan_with("score_silent", reason), WEIR_E_UNSUPPORTED, "score_silent", "reason");
  ck_assert_str_ne(reason, "");
}
END_TEST

/* The winner prepares; if it cannot, nothing else is tried in silence. */
START_TEST(test_failed_preparation_is_the_plans_failure) {
  char reason[WEIR_REASON_MAX];
  ASSERT_FAILS(plan_with("plan_fails", reason), WEIR_E_NOMEM, "plan_fails");
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin("plan_fails"), bad_plugin("tied_a")), NULL);
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = (weir_plan *)&desc;
  ASSERT_FAILS(weir_plan_matvec(device, &desc, &plan), WEIR_E_NOMEM, "plan_fails");
  ck_assert_ptr_null(plan);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

START_TEST(test_impossible_alignment_is_a_bug_of_the_plugin) {
  char reason[WEIR_REASON_MAX];
  ASSERT_FAILS(plan_with("align_odd", reason), WEIR_E_INTERNAL, "align_odd", "3");
  ASSERT_FAILS(plan_with("align_too_big", reason), WEIR_E_INTERNAL, "align_too_big", "512");
}
END_TEST

/* ---- Asking about plugins ----------------------------------------------- */

START_TEST(test_plugin_get_past_the_end) {
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(bad_plugin("tied_a")), NULL);
  weir_plugin_info info = {.struct_size = sizeof info, .name = "x"};
  char count[16];
  snprintf(count, sizeof count, "%u", weir_plugin_count(runtime));
  ASSERT_FAILS(weir_plugin_get(runtime, weir_plugin_count(runtime), &info), WEIR_E_NOTFOUND, count);
  ck_assert_ptr_null(info.name);
  ASSERT_FAILS(weir_plugin_get(runtime, UINT32_MAX, &info), WEIR_E_NOTFOUND, "4294967295");
  ASSERT_FAILS(weir_plugin_get(runtime, 0, NULL), WEIR_E_NULL, "info");
  ASSERT_FAILS(weir_plugin_get(NULL, 0, &info), WEIR_E_NULL, "runtime");
  info.struct_size = 0;
  ASSERT_FAILS(weir_plugin_get(runtime, 0, &info), WEIR_E_ABI, "struct_size");
  weir_close(runtime);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("abi");
  TCase *refuse = tcase_create("refused");
  tcase_add_loop_test(refuse, test_defect_is_refused_with_file_cause_and_remedy, 0, COUNT(defects));
  tcase_add_loop_test(refuse, test_forced_defect_is_named_with_its_reason, 0, COUNT(defects));
  tcase_add_test(refuse, test_duplicate_name_is_refused_and_the_first_serves);
  suite_add_tcase(suite, refuse);
  TCase *admit = tcase_create("admitted");
  tcase_add_loop_test(admit, test_odd_but_legal_plugin_works, 0, COUNT(admitted));
  tcase_add_test(admit, test_newer_minor_is_told);
  tcase_add_test(admit, test_absent_optional_member_answers_zero);
  tcase_add_test(admit, test_unknown_operation_is_logged);
  suite_add_tcase(suite, admit);
  TCase *later = tcase_create("later");
  tcase_add_test(later, test_host_services);
  tcase_add_test(later, test_endless_reason_is_cut);
  tcase_add_test(later, test_negative_score_is_a_refusal);
  tcase_add_test(later, test_silent_refusal_still_has_a_reason);
  tcase_add_test(later, test_failed_preparation_is_the_plans_failure);
  tcase_add_test(later, test_impossible_alignment_is_a_bug_of_the_plugin);
  tcase_add_test(later, test_plugin_get_past_the_end);
  suite_add_tcase(suite, later);
  return run_suite(suite);
}

/* SPDX-License-Identifier: MIT */

/* Which plugin serves, as the selection string says. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* tied_a and tied_b score 500, high 1000, low 1, refuser 0; ref and cpu have
 * all operations, the fakes only int4_matvec. */
static const char *fakes_path(void) {
  return PLUGIN_PATH(bad_plugin("low"), bad_plugin("tied_b"), bad_plugin("high"), bad_plugin("refuser"),
                     bad_plugin("tied_a"), plugin_directory());
}

/* The name of the plugin that serves small_matvec(); "" when the plan fails. */
static const char *served_by(weir_runtime *runtime) {
  static char name[64];
  weir_matvec_desc desc = small_matvec();
  weir_device *device = open_device(runtime, "cpu");
  weir_plan *plan = (weir_plan *)&desc;
  weir_status status = weir_plan_matvec(device, &desc, &plan);
  if (status == WEIR_OK) {
    snprintf(name, sizeof name, "%s", weir_plan_plugin(plan));
    weir_plan_free(plan);
  } else {
    ck_assert_ptr_null(plan);
    name[0] = '\0';
  }
  weir_device_close(device);
  return name;
}

static weir_status plan_small(weir_runtime *runtime) {
  weir_matvec_desc desc = small_matvec();
  weir_device *device = open_device(runtime, "cpu");
  weir_plan *plan = NULL;
  weir_status status = weir_plan_matvec(device, &desc, &plan);
  weir_plan_free(plan);
  weir_device_close(device);
  return status;
}

static const struct {
  const char *selection, *plugin, *rule;
} served[] = {
  {NULL, "high", "the highest score wins"},
  {"", "high", "an empty selection is the default"},
  {"int4_matvec=low", "low", "a forced plugin serves whatever its score"},
  {"int4_matvec=ref", "ref", "the oracle can be forced"},
  {"int4_matvec=cpu", "cpu", "cpu can be forced"},
  {"int4_matvec=low:high", "low", "an ordered preference goes before the score"},
  {"int4_matvec=refuser:low", "low", "the second of a preference serves when the first refuses"},
  {"int4_matvec=refuser:low:high", "low", "the preference is tried in its order"},
  {"int4_matvec=nosuch:tied_b", "tied_b", "the second of a preference serves when the first is missing"},
  {"int4_matvec=low:auto", "low", "auto comes last"},
  {"int4_matvec=refuser:auto", "high", "auto is the default"},
  {"int4_matvec=refuser:auto,-high", "tied_a", "auto leaves out what is denied"},
  {"int4_matvec=auto", "high", "auto alone is the default"},
  {"-high", "tied_a", "denied plugins do not serve; equal scores go by name"},
  {"-high,-tied_a", "tied_b", "two can be denied"},
  {"-hig", "high", "a prefix denies nothing"},
  {"-highest", "high", "a longer word denies nothing"},
  {"-nosuch", "high", "a missing plugin can be denied"},
  {"low", "low", "a preferred plugin goes before the score"},
  {"refuser", "high", "a preferred plugin that refuses leaves the default"},
  {"tied_b", "tied_b", "a preferred plugin goes before its equal"},
  {"tied_b,tied_a", "tied_b", "equal scores go by their order in the string"},
  {"tied_a,tied_b", "tied_a", "equal scores go by their order in the string"},
  {"low,int4_matvec=tied_b", "tied_b", "the rule of the operation goes before the general one"},
  {"int4_matvec=tied_b,low", "tied_b", "and stands anywhere in the string"},
  {"sdpa=ref", "high", "a rule for one operation leaves the others alone"},
  {"sdpa=ref,int4_matvec=low,-tied_a", "low", "rules stand side by side"},
  {"low,-low", "high", "what is denied is not preferred"},
};

START_TEST(test_plugin_served) {
  weir_runtime *runtime = open_runtime(fakes_path(), served[_i].selection);
  const char *name = served_by(runtime);
  ck_assert_msg(strcmp(name, served[_i].plugin) == 0, "\"%s\" (%s) gave \"%s\" instead of \"%s\": %s",
                served[_i].selection != NULL ? served[_i].selection : "(null)", served[_i].rule, name,
                served[_i].plugin, weir_last_error());
  weir_close(runtime);
}
END_TEST

/* The order of the files on disk and in the path has no say. */
START_TEST(test_path_order_has_no_say) {
  const char *const a = bad_plugin("tied_a"), *const b = bad_plugin("tied_b");
  weir_runtime *runtime = open_runtime(PLUGIN_PATH(a, b), "-cpu,-ref");
  ck_assert_str_eq(served_by(runtime), "tied_a");
  weir_close(runtime);
  runtime = open_runtime(PLUGIN_PATH(b, a), "-cpu,-ref");
  ck_assert_str_eq(served_by(runtime), "tied_a");
  weir_close(runtime);
}
END_TEST

static const struct {
  const char *selection;
  weir_status status;
  const char *words[5];
} refused[] = {
  {"int4_matvec=nosuch", WEIR_E_NOTFOUND, {"nosuch", "int4_matvec"}},
  {"int4_matvec=tide_a", WEIR_E_NOTFOUND, {"tide_a", "tied_a"}},
  {"int4_matvec=hihg", WEIR_E_NOTFOUND, {"hihg", "high"}},
  {"tied_bb", WEIR_E_NOTFOUND, {"tied_bb", "tied_b"}},
  {"high,nosuch", WEIR_E_NOTFOUND, {"nosuch"}},
  {"int4_matvec=re", WEIR_E_NOTFOUND, {"re", "ref"}},
  {"int4_matvec=hig", WEIR_E_NOTFOUND, {"hig", "high"}},
  {"int4_matvec=refuser", WEIR_E_UNSUPPORTED, {"refuser", "the moon is not full"}},
  {"int4_matvec=refuser:nosuch", WEIR_E_UNSUPPORTED, {"refuser", "the moon is not full", "nosuch"}},
  {"low,int4_matvec=refuser", WEIR_E_UNSUPPORTED, {"refuser", "the moon is not full"}},
  {"int4_matvec=low,-low", WEIR_E_UNSUPPORTED, {"low", "denie|-low"}},
  {"-high,-low,-tied_a,-tied_b,-ref,-cpu", WEIR_E_UNSUPPORTED, {"refuser", "the moon is not full"}},
};

START_TEST(test_plan_refused) {
  weir_runtime *runtime = open_runtime(fakes_path(), refused[_i].selection);
  assert_fails(plan_small(runtime), refused[_i].status, refused[_i].selection, __FILE__, __LINE__, refused[_i].words);
  weir_close(runtime);
}
END_TEST

/* A forced plugin is for all descriptors of the operation. */
START_TEST(test_forced_plugin_never_falls_back_for_one_descriptor) {
  weir_runtime *runtime = open_runtime(fakes_path(), "int4_matvec=high");
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  ck_assert_str_eq(weir_plan_plugin(plan), "high");
  weir_plan_free(plan);
  desc.y_type = WEIR_BF16;
  ASSERT_FAILS(weir_plan_matvec(device, &desc, &plan), WEIR_E_UNSUPPORTED, "high", "y is not f32");
  ck_assert_ptr_null(plan);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

START_TEST(test_missing_plugin_names_every_path) {
  const char *directory = make_directory();
  const char *absent = file_in(directory, "absent.so");
  weir_runtime *runtime =
    open_runtime(PLUGIN_PATH(bad_plugin("tied_a"), directory, absent, plugin_directory()), "int4_matvec=nosuch");
  ASSERT_FAILS(plan_small(runtime), WEIR_E_NOTFOUND, "nosuch", bad_plugin("tied_a"), directory, absent,
               plugin_directory());
  weir_close(runtime);
}
END_TEST

START_TEST(test_forced_plugin_without_the_operation) {
  weir_runtime *runtime = open_runtime(fakes_path(), "sdpa=high");
  weir_device *device = open_device(runtime, "cpu");
  weir_sdpa_desc desc = small_sdpa();
  weir_plan *plan = (weir_plan *)&desc;
  ASSERT_FAILS(weir_plan_sdpa(device, &desc, &plan), WEIR_E_UNSUPPORTED, "high", "sdpa");
  ck_assert_ptr_null(plan);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

/* `NAME` alone prefers it wherever it serves, and only there. */
START_TEST(test_preferred_plugin_serves_each_operation_it_has) {
  weir_runtime *runtime = open_runtime(fakes_path(), "ref");
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc int4 = small_matvec(), int8 = small_matvec();
  weir_sdpa_desc sdpa = small_sdpa();
  int8.op = WEIR_OP_INT8_MATVEC;
  weir_plan *plans[3];
  ASSERT_OK(weir_plan_matvec(device, &int4, &plans[0]));
  ASSERT_OK(weir_plan_matvec(device, &int8, &plans[1]));
  ASSERT_OK(weir_plan_sdpa(device, &sdpa, &plans[2]));
  for (int i = 0; i < 3; i++) {
    ck_assert_str_eq(weir_plan_plugin(plans[i]), "ref");
    weir_plan_free(plans[i]);
  }
  ASSERT_OK(weir_select(runtime, "high"));
  ASSERT_OK(weir_plan_sdpa(device, &sdpa, &plans[0]));
  ck_assert_str_ne(weir_plan_plugin(plans[0]), "high");
  weir_plan_free(plans[0]);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

/* Nothing falls back silently: that another had to serve is in the log. */
START_TEST(test_missing_first_choice_is_logged) {
  static log_lines lines;
  clear_environment();
  weir_options options = {.struct_size = sizeof options,
                          .selection = "int4_matvec=nosuch:tied_b",
                          .plugin_path = fakes_path(),
                          .log = "warn",
                          .log_fn = collect_line,
                          .log_user = &lines};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_str_eq(served_by(runtime), "tied_b");
  ASSERT_NAMES(lines.text, "nosuch");
  weir_close(runtime);
}
END_TEST

/* A suggestion is for a slip of the finger, not for any word. */

/* ---- Malformed text ----------------------------------------------------- */

/* The column counts from 1 and lies in [first,last]: at the start of the item
 * or where it goes wrong. */
static const struct {
  const char *selection;
  unsigned first, last;
  const char *words[4];
} malformed[] = {
  {",", 1, 1, {NULL}},
  {"ref,", 4, 5, {NULL}},
  {",ref", 1, 1, {NULL}},
  {"ref,,cpu", 4, 5, {NULL}},
  {"-", 1, 2, {NULL}},
  {"--ref", 1, 2, {NULL}},
  {"ref,-", 5, 6, {NULL}},
  {"-auto", 1, 2, {"auto"}},
  {"=ref", 1, 1, {NULL}},
  {"=", 1, 1, {NULL}},
  {"int9_matvec=ref", 1, 1, {"int9_matvec", "int4_matvec|int8_matvec"}},
  {"ref,int4matvec=ref", 5, 5, {"int4matvec", "int4_matvec"}},
  {"sdap=ref", 1, 1, {"sdap", "sdpa"}},
  {"SDPA=ref", 1, 1, {"SDPA", "sdpa"}},
  {"int4_matve=ref", 1, 1, {"int4_matve", "int4_matvec"}},
  {"int4_matvec=", 12, 13, {NULL}},
  {"int4_matvec=,ref", 12, 13, {NULL}},
  {"int4_matvec=:ref", 13, 13, {NULL}},
  {"int4_matvec=ref:", 16, 17, {NULL}},
  {"int4_matvec=ref::cpu", 16, 17, {NULL}},
  {"int4_matvec=-ref", 13, 13, {NULL}},
  {"int4_matvec=ref=cpu", 13, 16, {NULL}},
  {"int4_matvec=ref,sdpa=ref,int4_matvec=cpu", 26, 26, {"int4_matvec"}},
  {"int4_matvec=auto:ref", 13, 17, {"auto"}},
  {"ref:cpu", 1, 4, {NULL}},
  {"ref,cpu,ref", 9, 9, {NULL}},
  {"-ref,-ref", 6, 7, {NULL}},
  {"sdpa=ref:cpu:ref", 14, 14, {NULL}},
  {"REF", 1, 1, {NULL}},
  {"9ref", 1, 1, {NULL}},
  {"re f", 1, 3, {NULL}},
  {"ref;cpu", 1, 4, {NULL}},
  {"cpu,r\xc3\xa9" "f", 5, 6, {NULL}},
  {"ref\n", 1, 4, {NULL}},
  {"sdpa=r/f", 6, 7, {NULL}},
};

static void assert_column(const char *selection, unsigned first, unsigned last) {
  unsigned column = error_column();
  ck_assert_msg(first <= column && column <= last, "\"%s\": column %u..%u expected: \"%s\"", selection, first, last,
                weir_last_error());
}

START_TEST(test_malformed_text_fails_at_open) {
  clear_environment();
  weir_options options = {.struct_size = sizeof options, .selection = malformed[_i].selection};
  weir_runtime *runtime = (weir_runtime *)&options;
  assert_fails(weir_open(&options, &runtime), WEIR_E_SYNTAX, malformed[_i].selection, __FILE__, __LINE__,
               malformed[_i].words);
  ck_assert_ptr_null(runtime);
  assert_column(malformed[_i].selection, malformed[_i].first, malformed[_i].last);
}
END_TEST

START_TEST(test_malformed_text_fails_at_select_and_leaves_the_old) {
  weir_runtime *runtime = open_runtime(fakes_path(), "int4_matvec=low");
  assert_fails(weir_select(runtime, malformed[_i].selection), WEIR_E_SYNTAX, malformed[_i].selection, __FILE__,
               __LINE__, malformed[_i].words);
  assert_column(malformed[_i].selection, malformed[_i].first, malformed[_i].last);
  ck_assert_str_eq(served_by(runtime), "low");
  weir_close(runtime);
}
END_TEST

/* Dozens of rules are in order; what is beyond any use is refused, not cut. */
START_TEST(test_long_text) {
  enum { ITEMS = 2000, SIZE = 8 * ITEMS, SOME = 40 };
  char *text = malloc(SIZE + 1);
  weir_runtime *runtime = open_runtime(fakes_path(), NULL);
  for (int i = 0; i < ITEMS; i++) {
    snprintf(text + 8 * i, 9, "-a%05u,", (unsigned)i % 100000);
  }
  text[8 * SOME - 1] = '\0';
  ASSERT_OK(weir_select(runtime, text));
  ck_assert_str_eq(served_by(runtime), "high");
  text[8 * SOME - 1] = ',';
  text[SIZE - 1] = '\0';
  weir_status status = weir_select(runtime, text);
  ck_assert(status == WEIR_OK || (status == WEIR_E_SYNTAX && error_column() > 8 * SOME));
  memset(text, 'a', SIZE);
  status = weir_select(runtime, text);
  ck_assert(status == WEIR_OK || (status == WEIR_E_SYNTAX && error_column() >= 1));
  ck_assert_str_eq(served_by(runtime), status == WEIR_OK ? "" : "high");
  weir_close(runtime);
  free(text);
}
END_TEST

/* ---- Where the text comes from, and when it holds ----------------------- */

START_TEST(test_options_replace_the_variable) {
  clear_environment();
  setenv("WEIR_PLUGINS", "int4_matvec=low", 1);
  weir_options options = {.struct_size = sizeof options, .plugin_path = fakes_path()};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_str_eq(served_by(runtime), "low");
  weir_close(runtime);
  options.selection = "int4_matvec=tied_b";
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_str_eq(served_by(runtime), "tied_b");
  weir_close(runtime);
  options.selection = "";
  ASSERT_OK(weir_open(&options, &runtime));
  ck_assert_str_eq(served_by(runtime), "high");
  setenv("WEIR_PLUGINS", "int4_matvec=tied_a", 1);
  ck_assert_str_eq(served_by(runtime), "high");
  weir_close(runtime);
}
END_TEST

START_TEST(test_new_plans_use_the_new_selection_and_old_ones_stay) {
  weir_runtime *runtime = open_runtime(fakes_path(), "int4_matvec=ref");
  weir_device *device = open_device(runtime, "cpu");
  problem p;
  problem_make(&p, 8, 128, 2, 32, 1);
  float y[16];
  weir_plan *old = NULL, *new = NULL;
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &old));
  ASSERT_OK(weir_select(runtime, "int4_matvec=tied_b,-ref"));
  ASSERT_OK(weir_plan_matvec(device, &p.desc, &new));
  ck_assert_str_eq(weir_plan_plugin(old), "ref");
  ck_assert_str_eq(weir_plan_plugin(new), "tied_b");
  ASSERT_OK(problem_run(&p, device, old, y));
  ck_assert(problem_solved(&p, y));
  ASSERT_OK(problem_run(&p, device, new, y));
  ck_assert_float_eq(y[0], 20.0f);
  weir_plan_free(old);
  weir_plan_free(new);
  ASSERT_OK(weir_select(runtime, NULL));
  ck_assert_str_eq(served_by(runtime), "high");
  weir_device_close(device);
  weir_close(runtime);
  problem_free(&p);
}
END_TEST

START_TEST(test_select_needs_a_runtime) {
  ASSERT_FAILS(weir_select(NULL, "ref"), WEIR_E_NULL, "runtime");
}
END_TEST

/* ---- Explain ------------------------------------------------------------ */

static const weir_candidate *candidate(const weir_candidate *list, uint32_t count, const char *plugin) {
  for (uint32_t i = 0; i < count; i++) {
    if (strcmp(list[i].plugin, plugin) == 0) {
      return &list[i];
    }
  }
  ck_abort_msg("%s is not explained", plugin);
}

static uint32_t explain(weir_runtime *runtime, weir_status want, weir_candidate list[16]) {
  weir_matvec_desc desc = small_matvec();
  weir_device *device = open_device(runtime, "cpu");
  uint32_t count = 0;
  for (int i = 0; i < 16; i++) {
    list[i] = (weir_candidate){.struct_size = sizeof list[i]};
  }
  weir_status status = weir_explain_matvec(device, &desc, list, 16, &count);
  ck_assert_msg(status == want, "%s: %s", weir_status_name(status), weir_last_error());
  ck_assert_uint_le(count, 16);
  weir_device_close(device);
  return count;
}

START_TEST(test_explain_says_why) {
  static const struct {
    const char *selection, *plugin;
    uint32_t state;
    int32_t score;
    const char *reason;
  } states[] = {
    {"", "high", WEIR_CANDIDATE_CHOSEN, 1000, "high serves"},
    {"", "tied_a", WEIR_CANDIDATE_ELIGIBLE, 500, "tied_a serves"},
    {"", "refuser", WEIR_CANDIDATE_REFUSED, 0, "the moon is not full"},
    {"-high", "high", WEIR_CANDIDATE_DENIED, 1000, ""},
    {"-high", "tied_a", WEIR_CANDIDATE_CHOSEN, 500, "tied_a serves"},
    {"int4_matvec=low", "high", WEIR_CANDIDATE_UNLISTED, 1000, ""},
    {"int4_matvec=low", "low", WEIR_CANDIDATE_CHOSEN, 1, "low serves"},
    {"int4_matvec=low:auto", "high", WEIR_CANDIDATE_ELIGIBLE, 1000, "high serves"},
    {"int4_matvec=low:high", "high", WEIR_CANDIDATE_ELIGIBLE, 1000, "high serves"},
    {"int4_matvec=low:high", "tied_a", WEIR_CANDIDATE_UNLISTED, 500, ""},
  };
  weir_runtime *runtime = open_runtime(fakes_path(), NULL);
  for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
    ASSERT_OK(weir_select(runtime, states[i].selection));
    weir_candidate list[16];
    uint32_t count = explain(runtime, WEIR_OK, list);
    const weir_candidate *found = candidate(list, count, states[i].plugin);
    ck_assert_msg(found->state == states[i].state, "\"%s\", %s: state %u", states[i].selection, states[i].plugin,
                  found->state);
    if (states[i].reason[0] != '\0') {
      ck_assert_int_eq(found->score, states[i].score);
      ASSERT_NAMES(found->reason, states[i].reason);
    }
    ck_assert_uint_eq(found->struct_size, sizeof *found);
    ck_assert_str_ne(found->reason, "");
  }
  weir_close(runtime);
}
END_TEST

START_TEST(test_explain_is_in_the_order_of_trial) {
  static const struct {
    const char *selection, *order[5];
  } orders[] = {
    {"-cpu", {"high", "tied_a", "tied_b", NULL}},
    {"-cpu,tied_b,tied_a", {"tied_b", "tied_a", "high", NULL}},
    {"-cpu,int4_matvec=low:tied_b", {"low", "tied_b", NULL}},
    {"-cpu,int4_matvec=low:auto", {"low", "high", "tied_a", "tied_b", NULL}},
  };
  weir_runtime *runtime = open_runtime(fakes_path(), NULL);
  for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
    ASSERT_OK(weir_select(runtime, orders[i].selection));
    weir_candidate list[16];
    uint32_t count = explain(runtime, WEIR_OK, list);
    for (uint32_t at = 0; orders[i].order[at] != NULL; at++) {
      ck_assert_uint_lt(at, count);
      ck_assert_msg(strcmp(list[at].plugin, orders[i].order[at]) == 0, "\"%s\": candidate %u is %s, not %s",
                    orders[i].selection, at, list[at].plugin, orders[i].order[at]);
      ck_assert_uint_eq(list[at].state, at == 0 ? WEIR_CANDIDATE_CHOSEN : WEIR_CANDIDATE_ELIGIBLE);
    }
  }
  weir_close(runtime);
}
END_TEST

START_TEST(test_explain_fails_as_the_plan_does_after_filling_in) {
  weir_runtime *runtime = open_runtime(fakes_path(), "int4_matvec=refuser");
  char sentence[4096];
  ASSERT_FAILS(plan_small(runtime), WEIR_E_UNSUPPORTED, "refuser");
  snprintf(sentence, sizeof sentence, "%s", weir_last_error());
  weir_candidate list[16];
  uint32_t count = explain(runtime, WEIR_E_UNSUPPORTED, list);
  ck_assert_str_eq(weir_last_error(), sentence);
  ck_assert_uint_eq(candidate(list, count, "refuser")->state, WEIR_CANDIDATE_REFUSED);
  ck_assert_uint_eq(candidate(list, count, "high")->state, WEIR_CANDIDATE_UNLISTED);
  weir_close(runtime);
}
END_TEST

START_TEST(test_explain_writes_no_more_than_fits) {
  weir_runtime *runtime = open_runtime(fakes_path(), NULL);
  weir_device *device = open_device(runtime, "cpu");
  weir_matvec_desc desc = small_matvec();
  weir_sdpa_desc sdpa = small_sdpa();
  weir_candidate list[3] = {{.struct_size = sizeof list[0]}, {.struct_size = sizeof list[0]}, {0}};
  memset(&list[2], 0x5a, sizeof list[2]);
  weir_candidate untouched = list[2];
  uint32_t all = 0, count = 0;
  ASSERT_OK(weir_explain_matvec(device, &desc, NULL, 0, &all));
  ck_assert_uint_ge(all, 7);
  ASSERT_OK(weir_explain_matvec(device, &desc, list, 2, &count));
  ck_assert_uint_eq(count, all);
  ck_assert_mem_eq(&list[2], &untouched, sizeof untouched);
  ck_assert_str_eq(list[0].plugin, "high");
  weir_candidate many[16];
  for (int i = 0; i < 16; i++) {
    many[i] = (weir_candidate){.struct_size = sizeof many[i]};
  }
  ASSERT_OK(weir_explain_sdpa(device, &sdpa, many, 16, &count));
  ck_assert_uint_eq(count, all);
  ck_assert_uint_eq(candidate(many, count, "high")->state, WEIR_CANDIDATE_OTHER_OP);
  list[1].struct_size = 0;
  ASSERT_FAILS(weir_explain_matvec(device, &desc, list, 2, &count), WEIR_E_ABI, "struct_size");
  ASSERT_FAILS(weir_explain_matvec(device, &desc, NULL, 2, &count), WEIR_E_NULL, "candidates");
  ASSERT_FAILS(weir_explain_matvec(device, &desc, list, 0, NULL), WEIR_E_NULL, "count");
  ASSERT_FAILS(weir_explain_matvec(device, NULL, NULL, 0, &count), WEIR_E_NULL, "desc");
  ASSERT_FAILS(weir_explain_matvec(NULL, &desc, NULL, 0, &count), WEIR_E_NULL, "device");
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

int main(void) {
  Suite *suite = suite_create("selection");
  TCase *rules = tcase_create("rules");
  tcase_add_checked_fixture(rules, NULL, remove_directory);
  tcase_add_loop_test(rules, test_plugin_served, 0, COUNT(served));
  tcase_add_loop_test(rules, test_plan_refused, 0, COUNT(refused));
  tcase_add_test(rules, test_path_order_has_no_say);
  tcase_add_test(rules, test_forced_plugin_never_falls_back_for_one_descriptor);
  tcase_add_test(rules, test_missing_plugin_names_every_path);
  tcase_add_test(rules, test_forced_plugin_without_the_operation);
  tcase_add_test(rules, test_preferred_plugin_serves_each_operation_it_has);
  tcase_add_test(rules, test_missing_first_choice_is_logged);
  suite_add_tcase(suite, rules);
  TCase *text = tcase_create("text");
  tcase_add_loop_test(text, test_malformed_text_fails_at_open, 0, COUNT(malformed));
  tcase_add_loop_test(text, test_malformed_text_fails_at_select_and_leaves_the_old, 0, COUNT(malformed));
  tcase_add_test(text, test_long_text);
  suite_add_tcase(suite, text);
  TCase *use = tcase_create("use");
  tcase_add_test(use, test_options_replace_the_variable);
  tcase_add_test(use, test_new_plans_use_the_new_selection_and_old_ones_stay);
  tcase_add_test(use, test_select_needs_a_runtime);
  tcase_add_test(use, test_explain_says_why);
  tcase_add_test(use, test_explain_is_in_the_order_of_trial);
  tcase_add_test(use, test_explain_fails_as_the_plan_does_after_filling_in);
  tcase_add_test(use, test_explain_writes_no_more_than_fits);
  suite_add_tcase(suite, use);
  return run_suite(suite);
}

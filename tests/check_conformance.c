/* SPDX-License-Identifier: MIT */

/* The plugins of this tree against the conformance suite, and the suite against
 * damage: each of its checks must be seen to fail. WEIR_CONFORMANCE=full runs every
 * case instead of the short selection. */

#include "../tools/conform_case.h"
#include "support.h"
#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Plugins ------------------------------------------------------------- */

static const struct {
  const char *plugin;
  weir_op op;
  const char *name;
} subjects[] = {
    {"ref", WEIR_OP_INT4_MATVEC, "ref int4"},
    {"ref", WEIR_OP_INT8_MATVEC, "ref int8"},
    {"ref", WEIR_OP_SDPA, "ref sdpa"},
    {"cpu", WEIR_OP_INT4_MATVEC, "cpu int4"},
    {"cpu", WEIR_OP_INT8_MATVEC, "cpu int8"},
    {"cpu", WEIR_OP_SDPA, "cpu sdpa"},
};

static int wants_all(void) {
  const char *value = getenv("WEIR_CONFORMANCE");
  return value && strcmp(value, "full") == 0;
}

static struct conform_options options_for(const char *plugin, weir_op op, const char *filter) {
  struct conform_options options = {
      .plugin = plugin, .plugin_path = plugin_directory(), .op = op, .filter = filter, .seed = 1};
  return options;
}

static void show_failure(void *user, const struct conform_result *result) {
  (void)user;
  if (result->status == CONFORM_FAIL) {
    fprintf(stderr, "%s\n  %s: %s\n", result->name, result->check, result->detail);
  }
}

START_TEST(test_plugin_conforms) {
  struct conform_options options = options_for(subjects[_i].plugin, subjects[_i].op, NULL);
  struct conform_summary summary;
  options.quick = !wants_all();
  ck_assert_msg(conform_run(&options, show_failure, NULL, &summary) == 0, "%s", summary.error);
  ck_assert_msg(conform_passed(&summary), "%s: %u of %u failed", subjects[_i].name, summary.failed, summary.selected);
  ck_assert_uint_eq(summary.passed + summary.unsupported, summary.selected);
  ck_assert_uint_ge(summary.passed, 100);
}
END_TEST

/* Other kernels and other cuts of the work, on the same machine. */
static const struct {
  const char *device, *threads;
} places[] = {{"cpu:isa=portable", "2"}, {"cpu", "1"}, {"cpu", "7"}};

START_TEST(test_cpu_conforms_with_other_kernels_and_threads) {
  struct conform_options options = options_for("cpu", 0, NULL);
  struct conform_summary summary;
  options.device = places[_i].device;
  options.quick = !wants_all();
  setenv("WEIR_THREADS", places[_i].threads, 1);
  ck_assert_msg(conform_run(&options, show_failure, NULL, &summary) == 0, "%s", summary.error);
  ck_assert_msg(conform_passed(&summary), "%u of %u failed", summary.failed, summary.selected);
  if (strstr(places[_i].device, "portable")) {
    ASSERT_NAMES(summary.kernels, "portable");
    ck_assert_msg(strstr(summary.kernels, "avx") == NULL, "%s", summary.kernels);
  }
  unsetenv("WEIR_THREADS");
}
END_TEST

START_TEST(test_another_seed_has_other_cases_and_conforms) {
  static const char *const filters[] = {"int4/group32/n9-", "int8/group64/n9-", "sdpa/d72/"};
  for (size_t i = 0; i < COUNT_OF(filters); ++i) {
    struct conform_options options = options_for("cpu", 0, filters[i]);
    struct conform_summary summary;
    options.seed = 20;
    ck_assert_msg(conform_run(&options, show_failure, NULL, &summary) == 0, "%s", summary.error);
    ck_assert_msg(conform_passed(&summary), "%u failed", summary.failed);
  }
}
END_TEST

/* ---- Every check can fail ------------------------------------------------ */

#define INT4 "int4/group32/n64-k352-m5/zero-none/scale-bf16-ng/x-bf16-y-bf16/ordinary"
#define INT8 "int8/group32/n64-k352-m5/zero-none/scale-bf16-ng/x-bf16-y-bf16/ordinary"
#define INT4_NAN "int4/group32/n33-k160-m4/zero-none/scale-bf16-ng/x-f16-y-f32/nan"
#define INT4_SHARE "int4/group32/n20-k288-m5/zero-none/scale-bf16-ng/x-bf16-y-bf16/ordinary/share"
#define INT4_ZEROS "int4/group32/n33-k160-m4/min-bf16/scale-f32-ng/x-f32-y-bf16/bias-f32/zero-blocks"
#define SDPA "sdpa/d128/h4x1-q1-kv129/bf16-bf16-bf16/ordinary"
#define SDPA_EMPTY "sdpa/d64/h4x2-q3-kv150/bf16-bf16-bf16/mask-bool-nothing-bq/ordinary"
#define SDPA_GAPS "sdpa/d64/h4x2-q1-kv67/bf16-bf16-bf16/odd-odd-padded/ordinary"
#define SDPA_DEVICE "sdpa/d128/h4x2-q1-kv0,1,300of300-device-b3/bf16-bf16-bf16/ordinary"
#define SDPA_NAN "sdpa/d128/h4x2-q10-kv200/bf16-bf16-bf16/causal/nan-query"
#define SDPA_KEY "sdpa/d128/h4x2-q10-kv200/bf16-bf16-bf16/causal/nan-key"
#define SDPA_PARTLY "sdpa/d128/h4x2-q10-kv200/bf16-bf16-bf16/causal/nan-partly"

static const struct {
  enum conform_tamper tamper;
  const char *name;  /* of one case */
  const char *check; /* that must find the damage */
  const char *words; /* in the detail */
} damages[] = {
    {CONFORM_TAMPER_INFO, INT4, "info", "align"},
    {CONFORM_TAMPER_INFO, SDPA, "info", "align"},
    {CONFORM_TAMPER_PACK, INT4, "pack", "packed["},
    {CONFORM_TAMPER_PACK, INT8, "pack", "packed["},
    {CONFORM_TAMPER_PACK_GUARD, INT4, "redzone", "packed: byte -1, before"},
    {CONFORM_TAMPER_INPUT, INT8, "input", "x: byte 0"},
    {CONFORM_TAMPER_INPUT, SDPA, "input", "k: byte 0"},
    {CONFORM_TAMPER_ACT_GUARD, INT4, "redzone", "act: byte"},
    {CONFORM_TAMPER_OUTPUT_GUARD, INT4, "redzone", "y: byte 640, behind"},
    {CONFORM_TAMPER_OUTPUT_GUARD, SDPA, "redzone", "o: byte 1024, behind"},
    {CONFORM_TAMPER_WORK_GUARD, INT8, "redzone", "workspace: byte -1, before"},
    {CONFORM_TAMPER_WORK_GUARD, SDPA, "redzone", "workspace: byte -1, before"},
    {CONFORM_TAMPER_OUTPUT, INT4, "oracle", "y[4,63]"},
    {CONFORM_TAMPER_OUTPUT, INT8, "oracle", "y[4,63]"},
    {CONFORM_TAMPER_OUTPUT, SDPA, "oracle", "o[3,127]"},
    {CONFORM_TAMPER_UNWRITTEN, INT4, "oracle", "y[0,0]: got nan|y[0,0]: got -nan"},
    {CONFORM_TAMPER_UNWRITTEN, SDPA, "oracle", "o[0,0]: got nan|o[0,0]: got -nan"},
    {CONFORM_TAMPER_SNR, INT4, "snr", "dB"},
    {CONFORM_TAMPER_SNR, INT8, "snr", "dB"},
    {CONFORM_TAMPER_ROW, INT4, "row-invariant", "row 0 alone"},
    {CONFORM_TAMPER_REPEAT, INT4, "deterministic", "y of the second run[0,0]"},
    {CONFORM_TAMPER_REPEAT, SDPA, "deterministic", "o of the second run[0,0]"},
    {CONFORM_TAMPER_SHARE, INT4_SHARE, "act-share", "another plan's act[0,0]"},
    {CONFORM_TAMPER_NAN, INT4_NAN, "nan-row", "want NaN or an infinity"},
    {CONFORM_TAMPER_NAN, SDPA_NAN, "oracle", "got 0, want"},
    {CONFORM_TAMPER_NAN, SDPA_PARTLY, "oracle", "got 0, want"},
    {CONFORM_TAMPER_NAN, SDPA_KEY, "oracle", "got 0, want"},
    {CONFORM_TAMPER_NAN_NEIGHBOUR, INT4_NAN, "nan-neighbour", "bit for bit"},
    {CONFORM_TAMPER_EMPTY, INT4_ZEROS, "zero-row", "bound 0"},
    {CONFORM_TAMPER_EMPTY, SDPA_EMPTY, "empty-row", "bound 0"},
    {CONFORM_TAMPER_GAP, SDPA_GAPS, "gap", "between two rows"},
    {CONFORM_TAMPER_LENGTH, SDPA_DEVICE, "length", "after kv_len changed"},
    {CONFORM_TAMPER_ORACLE, INT4, "reference", "y of 'ref'"},
    {CONFORM_TAMPER_ORACLE, SDPA, "reference", "o of 'ref'"},
    {CONFORM_TAMPER_LAYOUT, INT4, "layout", "packed["},
    {CONFORM_TAMPER_LAYOUT, INT8, "layout", "packed["},
    {CONFORM_TAMPER_LINEAR, INT4, "linear", "y of weir_linear[0,0]"},
    {CONFORM_TAMPER_LINEAR_NAN, INT4_NAN, "linear", "y[0] of weir_linear: got 0, want NaN"},
    {CONFORM_TAMPER_REFUSE, INT4, "unsupported", "refused for the test"},
    {CONFORM_TAMPER_REFUSE, SDPA, "unsupported", "refused for the test"},
};

START_TEST(test_damage_is_found) {
  for (int tampered = 0; tampered < 2; ++tampered) {
    struct conform_options options = options_for("cpu", 0, damages[_i].name);
    struct conform_summary summary;
    struct witness witness = {0};
    options.tamper = tampered ? damages[_i].tamper : CONFORM_TAMPER_NONE;
    ck_assert_msg(conform_run(&options, remember, &witness, &summary) == 0, "%s", summary.error);
    ck_assert_uint_eq(witness.count, 1);
    if (!tampered) {
      ck_assert_msg(conform_passed(&summary), "%s: %s", witness.check, witness.detail);
      continue;
    }
    ck_assert_int_eq(witness.status, CONFORM_FAIL);
    ck_assert_str_eq(witness.check, damages[_i].check);
    ASSERT_NAMES(witness.detail, damages[_i].words);
    ck_assert(!conform_passed(&summary));
  }
}
END_TEST

START_TEST(test_every_damage_is_tried) {
  for (int tamper = CONFORM_TAMPER_NONE + 1; tamper < CONFORM_TAMPER_COUNT; ++tamper) {
    size_t i = 0;
    while (i < COUNT_OF(damages) && damages[i].tamper != (enum conform_tamper)tamper) {
      ++i;
    }
    ck_assert_msg(i < COUNT_OF(damages), "no test for damage %d", tamper);
  }
}
END_TEST

/* ---- What is no pass ----------------------------------------------------- */

START_TEST(test_support_of_nothing_is_no_pass) {
  struct conform_options options = options_for("cpu", 0, "/exact/");
  struct conform_summary summary;
  struct witness witness = {0};
  ck_assert_int_eq(conform_run(&options, remember, &witness, &summary), 0);
  ck_assert_uint_eq(summary.unsupported, summary.selected);
  ck_assert_uint_eq(summary.failed, 0);
  ck_assert_str_ne(witness.detail, "");
  ck_assert(!conform_passed(&summary));
}
END_TEST

START_TEST(test_what_cannot_run_says_why) {
  static const struct {
    struct conform_options options;
    const char *words[2];
  } rows[] = {
      {{.plugin = "nonesuch"}, {"nonesuch"}},
      {{.plugin = ""}, {"no plugin"}},
      {{.plugin = NULL}, {"no plugin"}},
      {{.plugin = "cpu", .device = "tpu"}, {"tpu"}},
      {{.plugin = "cpu", .device = "cuda:sm=90,sms=132,l2=50M,smem=227K"}, {"description"}},
      {{.plugin = "cpu", .filter = "no such case"}, {"no such case"}},
  };
  for (size_t i = 0; i < COUNT_OF(rows); ++i) {
    struct conform_options options = rows[i].options;
    struct conform_summary summary;
    options.plugin_path = plugin_directory();
    ck_assert_int_eq(conform_run(&options, NULL, NULL, &summary), -1);
    ASSERT_NAMES(summary.error, rows[i].words[0]);
    ck_assert(!conform_passed(&summary));
  }
}
END_TEST

/* ---- The list ------------------------------------------------------------ */

struct tally {
  uint32_t all, must, op[4], op_must[4];
  uint64_t hash;
};

static void count_name(void *user, const char *name, weir_op op, int must) {
  struct tally *tally = user;
  tally->all++;
  tally->must += must != 0;
  tally->op[op]++;
  tally->op_must[op] += must != 0;
  tally->hash = rng_seed_of(tally->hash, name);
  ck_assert_uint_lt(strlen(name), CASE_NAME_MAX - 1);
}

static struct tally count_cases(struct conform_options options) {
  struct tally tally = {0};
  ck_assert_int_eq(conform_list(&options, count_name, &tally), 0);
  return tally;
}

START_TEST(test_list) {
  struct conform_options options = {.seed = 1};
  struct tally full = count_cases(options), again = count_cases(options);
  ck_assert_uint_eq(full.hash, again.hash);
  options.seed = 2;
  ck_assert_uint_ne(full.hash, count_cases(options).hash);
  options.seed = 1;
  options.quick = 1;
  struct tally quick = count_cases(options);
  ck_assert_uint_lt(quick.all * 3, full.all);
  for (weir_op op = WEIR_OP_INT4_MATVEC; op <= WEIR_OP_SDPA; ++op) {
    ck_assert_uint_ge(full.op[op], 500);
    ck_assert_uint_ge(full.op_must[op], 50); /* of a third party */
    ck_assert_uint_ge(quick.op_must[op], 10);
    ck_assert_uint_lt(full.op_must[op], full.op[op]);
  }
  options.quick = 0;
  options.plugin = "ref";
  ck_assert_uint_eq(count_cases(options).must, full.all);
  options.filter = INT4;
  ck_assert_uint_eq(count_cases(options).all, 1);
  options.filter = "int8/";
  ck_assert_uint_eq(count_cases(options).all, full.op[WEIR_OP_INT8_MATVEC]);
  options.op = WEIR_OP_INT4_MATVEC;
  ck_assert_uint_eq(count_cases(options).all, 0);
}
END_TEST

/* What the reference system's tests try, and where its kernels are wrong. */
static const struct {
  const char *note;
  uint32_t least;
} reference_cases[] = {
    /* test_triton_sdpa.py; gqa_validation_errors is in check_plan.c */
    {"mha-basic", 27},
    {"mha-causal", 6},
    {"mha-bool-mask", 3},
    {"mha-non-pow2-head-dim", 2},
    {"mha-non-pow2-causal", 2},
    {"gqa-decode", 36},
    {"gqa-decode-with-mask", 3},
    {"gqa-short-seqlen", 9},
    {"gqa-prefill", 5},
    {"gqa-non-pow2-head-dim", 4},
    {"gqa-causal-prefill", 1},
    {"gqa-causal-decode-with-mask", 1},
    {"gqa-batch-size", 2},
    {"qwen35-moe-config", 1},
    {"output-shape", 1},
    {"custom-scale", 1},
    {"all-masked", 1},
    {"per-head-mask", 1},
    {"gqa-all-masked-decode", 1},
    {"causal-lq-ne-lkv", 1},
    {"non-pow2-no-mask", 1},
    /* test_triton_sdpa_nan.py */
    {"causal-vs-eager", 1},
    {"non-pow2-head-dim-with-bool-mask", 1},
    {"ring-buffer-bool-mask-start0", 1},
    {"ring-buffer-bool-mask-start100", 1},
    {"ring-buffer-bool-mask-start374", 1},
    {"ring-buffer-bool-mask-start750", 1},
    {"ring-buffer-bool-mask-start812", 1},
    {"ring-buffer-bool-mask-start1000", 1},
    {"ring-buffer-bool-mask-start1496", 1},
    /* test_triton_sdpa_splitk.py */
    {"decode-basic", 39},
    {"decode-with-mask", 1},
    {"decode-mha", 1},
    {"qwen35-config", 1},
    {"split-custom-scale", 1},
    {"cross-validate-with-sdpa", 1},
    {"split-all-masked", 1},
    {"lk-1", 1},
    {"split-batch-size", 2},
    {"split-non-pow2-head-dim", 1},
    {"is-causal-accepted", 1},
    {"small-query-blocks", 3},
    {"small-query-lq-5", 1},
    {"multi-query-implicit-causal", 1},
    {"non-power-of-two-gqa-ratio", 1},
    {"high-gqa-small-query-with-runtime-kv-len", 1},
    {"runtime-kv-len-ignores-garbage-tail", 1},
    /* Wrong there */
    {"tile-tail-no-mask", 9},
    {"kv-len-tail-no-mask", 9},
    {"unified-max-overflow", 4},
    {"unified-max-underflow", 4},
    {"non-pow2-head-dim-above-256", 8},
};

struct note_count {
  char ending[CASE_NAME_MAX];
  uint32_t count;
};

static void count_note(void *user, const char *name, weir_op op, int must) {
  struct note_count *note = user;
  size_t length = strlen(name), ending = strlen(note->ending);
  (void)must;
  note->count += op == WEIR_OP_SDPA && length > ending && strcmp(name + length - ending, note->ending) == 0;
}

START_TEST(test_what_the_reference_system_tries_is_listed) {
  struct conform_options options = {.seed = 1};
  for (size_t i = 0; i < COUNT_OF(reference_cases); ++i) {
    struct note_count note = {.count = 0};
    snprintf(note.ending, sizeof note.ending, "/%s", reference_cases[i].note);
    ck_assert_int_eq(conform_list(&options, count_note, &note), 0);
    ck_assert_msg(note.count >= reference_cases[i].least, "%u cases are called %s, not %u", note.count,
                  reference_cases[i].note, reference_cases[i].least);
  }
}
END_TEST

/* ---- Numbers ------------------------------------------------------------- */

/* Every value comes back, and the midpoint of neighbours goes to the even one. */
static void check_type(weir_type type) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    uint16_t at = (uint16_t)bits, next = (uint16_t)(bits + 1), back;
    double low = number_load(type, &at, 0), high = number_load(type, &next, 0);
    if (!isfinite(high)) {
      continue;
    }
    number_store(type, &back, 0, low);
    ck_assert_uint_eq(back, at);
    ck_assert(number_ulp(type, low) == high - low);
    double middle = (low + high) / 2, nudge = (high - low) * 0x1p-20;
    number_store(type, &back, 0, middle);
    ck_assert_uint_eq(back, at & 1 ? next : at);
    number_store(type, &back, 0, middle + nudge);
    ck_assert_uint_eq(back, next);
    number_store(type, &back, 0, -(middle - nudge));
    ck_assert_uint_eq(back, at | 0x8000);
  }
  ck_assert(isnan(number_round(type, (double)NAN)));
  ck_assert(number_round(type, 1e60) == (double)INFINITY);
  ck_assert(number_round(type, -1e60) == -(double)INFINITY);
  ck_assert(number_round(type, number_max(type)) == number_max(type));
}

START_TEST(test_numbers) {
  check_type(WEIR_F16);
  check_type(WEIR_BF16);
  ck_assert(number_round(WEIR_F16, 65519.999) == 65504);
  ck_assert(isinf(number_round(WEIR_F16, 65520)));
  ck_assert(number_round(WEIR_S8, -200) == -128);
  ck_assert(number_round(WEIR_U8, 2.5) == 2);
}
END_TEST

START_TEST(test_closeness) {
  static const struct {
    weir_type type;
    double got, want, bound;
    int close;
  } rows[] = {
      {WEIR_F32, 1, 1, 0, 1},
      {WEIR_F32, 1 + 0x1p-23, 1, 0, 1},
      {WEIR_F32, 1 + 0x1p-22, 1, 0, 0},
      {WEIR_F32, 1 + 0x1p-22, 1, 0x1p-23, 1},
      {WEIR_BF16, 1 + 0x1p-7, 1, 0, 1},
      {WEIR_BF16, 1 + 0x1p-6, 1, 0, 0},
      {WEIR_BF16, -1, 1, 0.5, 0},
      {WEIR_F16, (double)NAN, 1, 1e30, 0},
      {WEIR_F16, (double)NAN, (double)NAN, 0, 1},
      {WEIR_F16, 1, (double)NAN, 1e30, 0},
      {WEIR_F16, (double)INFINITY, 70000, 0, 1},
      {WEIR_F16, -(double)INFINITY, 70000, 0, 0},
      {WEIR_F16, (double)INFINITY, 60000, 0, 0},
      {WEIR_F16, (double)INFINITY, 65500, 30, 1},
      {WEIR_F16, 65504, 70000, 0, 0},
      {WEIR_F16, 65504, 65530, 0, 1},
      {WEIR_F16, 0x1p-24, 0, 0, 1},
      {WEIR_F16, 0x1p-23, 0, 0, 0},
      {WEIR_F32, (double)INFINITY, (double)INFINITY, 0, 1},
      {WEIR_F32, 3e38, (double)INFINITY, 0, 0},
  };
  for (size_t i = 0; i < COUNT_OF(rows); ++i) {
    ck_assert_msg(conform_close(rows[i].type, rows[i].got, rows[i].want, rows[i].bound) == rows[i].close,
                  "row %zu: %g for %g", i, rows[i].got, rows[i].want);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("conformance");
  clear_environment();
  for (size_t i = 0; i < COUNT_OF(subjects); ++i) {
    TCase *subject = tcase_create(subjects[i].name);
    tcase_set_timeout(subject, 600);
    tcase_add_loop_test(subject, test_plugin_conforms, (int)i, (int)i + 1);
    suite_add_tcase(suite, subject);
  }
  TCase *seeds = tcase_create("variety");
  tcase_set_timeout(seeds, 600);
  tcase_add_loop_test(seeds, test_cpu_conforms_with_other_kernels_and_threads, 0, COUNT_OF(places));
  tcase_add_test(seeds, test_another_seed_has_other_cases_and_conforms);
  suite_add_tcase(suite, seeds);
  TCase *damage = tcase_create("damage");
  tcase_set_timeout(damage, 60);
  tcase_add_loop_test(damage, test_damage_is_found, 0, COUNT_OF(damages));
  tcase_add_test(damage, test_every_damage_is_tried);
  tcase_add_test(damage, test_support_of_nothing_is_no_pass);
  tcase_add_test(damage, test_what_cannot_run_says_why);
  suite_add_tcase(suite, damage);
  TCase *parts = tcase_create("parts");
  tcase_set_timeout(parts, 60);
  tcase_add_test(parts, test_list);
  tcase_add_test(parts, test_what_the_reference_system_tries_is_listed);
  tcase_add_test(parts, test_numbers);
  tcase_add_test(parts, test_closeness);
  suite_add_tcase(suite, parts);
  return run_suite(suite);
}

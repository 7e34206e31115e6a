/* SPDX-License-Identifier: MIT */

/* Descriptors: each rule of weir/plugin.h about them, broken alone, with the
 * status and the words that the sentence must hold. See check_enqueue.c for arguments. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

static weir_runtime *runtime;
static weir_device *device;

static void open_all(void) {
  runtime = open_runtime(plugin_directory(), NULL);
  device = open_device(runtime, "cpu");
}

static void close_all(void) {
  weir_device_close(device);
  weir_close(runtime);
}

/* Members are set in a copy of a descriptor that is accepted. Offset 0, which is
 * struct_size, ends the list. */
typedef struct change {
  size_t offset;
  uint32_t value;
} change;

static void apply(void *desc, const change *changes) {
  for (int i = 0; i < 4 && changes[i].offset != 0; i++) {
    memcpy((char *)desc + changes[i].offset, &changes[i].value, sizeof changes[i].value);
  }
}

/* ---- matvec ------------------------------------------------------------- */

#define M(member, value) {offsetof(weir_matvec_desc, member), (uint32_t)(value)}

static const struct {
  change changes[4];
  weir_status status;
  const char *words[5];
} bad_matvec[] = {
  {{M(op, 0)}, WEIR_E_INVALID, {"op", "0"}},
  {{M(op, WEIR_OP_SDPA)}, WEIR_E_INVALID, {"op", "sdpa|3"}},
  {{M(op, 99)}, WEIR_E_INVALID, {"op", "99"}},
  {{M(flags, 4)}, WEIR_E_FLAGS, {"flag", "0x4|4"}},
  {{M(flags, 0x80000000u)}, WEIR_E_FLAGS, {"0x80000000"}},
  {{M(n, 0)}, WEIR_E_SHAPE, {"n", "0"}},
  {{M(k, 0)}, WEIR_E_SHAPE, {"k", "0"}},
  {{M(m_max, 0)}, WEIR_E_SHAPE, {"m_max", "0"}},
  {{M(k, 100)}, WEIR_E_SHAPE, {"k", "100", "group", "32"}},
  {{M(k, 31)}, WEIR_E_SHAPE, {"k", "31"}},
  {{M(k, 33), M(group, 33)}, WEIR_E_SHAPE, {"k", "33", "even|odd"}},
  {{M(group, 0)}, WEIR_E_SHAPE, {"group", "0"}},
  {{M(group, 8)}, WEIR_E_SHAPE, {"group", "8", "16"}},
  {{M(k, 192), M(group, 48)}, WEIR_E_SHAPE, {"group", "48"}},
  {{M(k, 1024), M(group, 512)}, WEIR_E_SHAPE, {"group", "512"}},
  {{M(group, 256)}, WEIR_E_SHAPE, {"128", "256"}},
  {{M(form, 2)}, WEIR_E_INVALID, {"form", "2"}},
  {{M(act, 7)}, WEIR_E_INVALID, {"act", "7"}},
  {{M(scale_type, WEIR_NONE)}, WEIR_E_TYPE, {"scale_type"}},
  {{M(scale_type, WEIR_U8)}, WEIR_E_TYPE, {"scale_type", "u8"}},
  {{M(scale_type, 77)}, WEIR_E_TYPE, {"scale_type", "77"}},
  {{M(x_type, WEIR_NONE)}, WEIR_E_TYPE, {"x_type"}},
  {{M(x_type, WEIR_S8)}, WEIR_E_TYPE, {"x_type", "s8"}},
  {{M(x_type, 6)}, WEIR_E_TYPE, {"x_type", "6"}},
  {{M(y_type, WEIR_NONE)}, WEIR_E_TYPE, {"y_type"}},
  {{M(y_type, WEIR_U8)}, WEIR_E_TYPE, {"y_type", "u8"}},
  {{M(bias_type, WEIR_S8)}, WEIR_E_TYPE, {"bias_type", "s8"}},
  {{M(bias_type, 50)}, WEIR_E_TYPE, {"bias_type", "50"}},
  {{M(zero_type, WEIR_S8)}, WEIR_E_TYPE, {"zero_type", "s8"}},
  {{M(zero_type, 12)}, WEIR_E_TYPE, {"zero_type", "12"}},
  {{M(op, WEIR_OP_INT8_MATVEC), M(zero_type, WEIR_U8)}, WEIR_E_TYPE, {"zero_type", "u8"}},
  {{M(form, WEIR_FORM_MIN)}, WEIR_E_TYPE, {"zero_type", "min"}},
  {{M(form, WEIR_FORM_MIN), M(zero_type, WEIR_U8)}, WEIR_E_TYPE, {"zero_type", "u8", "min"}},
  {{M(op, WEIR_OP_INT8_MATVEC), M(form, WEIR_FORM_MIN), M(zero_type, WEIR_S8)}, WEIR_E_TYPE, {"zero_type", "s8"}},
};

START_TEST(test_bad_matvec_descriptor) {
  weir_matvec_desc desc = small_matvec();
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  weir_plan_free(plan);
  apply(&desc, bad_matvec[_i].changes);
  plan = (weir_plan *)&desc;
  assert_fails(weir_plan_matvec(device, &desc, &plan), bad_matvec[_i].status, "weir_plan_matvec", __FILE__, __LINE__,
               bad_matvec[_i].words);
  ck_assert_ptr_null(plan);
  uint32_t count = 5;
  assert_fails(weir_explain_matvec(device, &desc, NULL, 0, &count), bad_matvec[_i].status, "weir_explain_matvec",
               __FILE__, __LINE__, bad_matvec[_i].words);
  ck_assert_uint_eq(count, 0);
}
END_TEST

static const struct {
  change changes[4];
} good_matvec[] = {
  {{M(n, 1)}},
  {{M(k, 32)}},
  {{M(group, 16)}},
  {{M(group, 64)}},
  {{M(group, 128)}},
  {{M(k, 512), M(group, 256)}},
  {{M(k, 98), M(group, 98)}},
  {{M(m_max, 17)}},
  {{M(op, WEIR_OP_INT8_MATVEC)}},
  {{M(op, WEIR_OP_INT8_MATVEC), M(k, 33), M(group, 33)}},
  {{M(op, WEIR_OP_INT8_MATVEC), M(zero_type, WEIR_S8)}},
  {{M(op, WEIR_OP_INT8_MATVEC), M(zero_type, WEIR_F16), M(form, WEIR_FORM_MIN)}},
  {{M(zero_type, WEIR_U8)}},
  {{M(zero_type, WEIR_F32)}},
  {{M(zero_type, WEIR_BF16), M(form, WEIR_FORM_MIN)}},
  {{M(scale_type, WEIR_F16), M(x_type, WEIR_F16), M(y_type, WEIR_F16)}},
  {{M(scale_type, WEIR_F32), M(x_type, WEIR_F32), M(y_type, WEIR_BF16)}},
  {{M(bias_type, WEIR_BF16)}},
  {{M(act, WEIR_ACT_EXACT)}},
};

START_TEST(test_good_matvec_descriptor_is_served_and_described) {
  weir_matvec_desc desc = small_matvec();
  apply(&desc, good_matvec[_i].changes);
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  ck_assert_str_ne(weir_plan_plugin(plan), "");
  weir_matvec_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_matvec_get(plan, &info));
  ck_assert_uint_eq(info.struct_size, sizeof info);
  ck_assert_uint_gt(info.packed_size, 0);
  ck_assert(info.align > 0 && info.align <= 256 && (info.align & (info.align - 1)) == 0);
  ck_assert_str_ne(info.kernel, "");
  ck_assert(desc.act == WEIR_ACT_INT8 || info.act == WEIR_ACT_EXACT);
  for (uint32_t m = 1; m <= desc.m_max; m++) {
    ck_assert_uint_gt(weir_act_size(plan, m), 0);
  }
  weir_plan_free(plan);
}
END_TEST

/* ---- sdpa --------------------------------------------------------------- */

#define S(member, value) {offsetof(weir_sdpa_desc, member), (uint32_t)(value)}
#define F32_NAN 0x7fc00000u
#define F32_INF 0x7f800000u
#define F32_MINUS_ONE 0xbf800000u

static const struct {
  change changes[4];
  weir_status status;
  const char *words[5];
} bad_sdpa[] = {
  {{S(op, 0)}, WEIR_E_INVALID, {"op", "0"}},
  {{S(op, WEIR_OP_INT4_MATVEC)}, WEIR_E_INVALID, {"op", "int4_matvec|1"}},
  {{S(flags, 4)}, WEIR_E_FLAGS, {"flag", "0x4|4"}},
  {{S(flags, 0x40000001u)}, WEIR_E_FLAGS, {"flag", "0x40000000|0x40000001"}},
  {{S(batch, 0)}, WEIR_E_SHAPE, {"batch", "0"}},
  {{S(q_heads, 0)}, WEIR_E_SHAPE, {"q_heads", "0"}},
  {{S(kv_heads, 0)}, WEIR_E_SHAPE, {"kv_heads", "0"}},
  {{S(q_heads, 5)}, WEIR_E_SHAPE, {"q_heads", "5", "2"}},
  {{S(kv_heads, 8)}, WEIR_E_SHAPE, {"kv_heads", "4", "8"}},
  {{S(head_dim, 0)}, WEIR_E_SHAPE, {"head_dim", "0"}},
  {{S(head_dim, 4)}, WEIR_E_SHAPE, {"head_dim", "4", "8"}},
  {{S(head_dim, 12)}, WEIR_E_SHAPE, {"head_dim", "12", "8"}},
  {{S(head_dim, 520)}, WEIR_E_SHAPE, {"head_dim", "520", "512"}},
  {{S(q_len_max, 0)}, WEIR_E_SHAPE, {"q_len_max", "0"}},
  {{S(kv_capacity, 0)}, WEIR_E_SHAPE, {"kv_capacity", "0"}},
  {{S(q_type, WEIR_NONE)}, WEIR_E_TYPE, {"q_type"}},
  {{S(q_type, WEIR_U8)}, WEIR_E_TYPE, {"q_type", "u8"}},
  {{S(kv_type, WEIR_S8)}, WEIR_E_TYPE, {"kv_type", "s8"}},
  {{S(kv_type, 90)}, WEIR_E_TYPE, {"kv_type", "90"}},
  {{S(o_type, WEIR_NONE)}, WEIR_E_TYPE, {"o_type"}},
  {{S(mask, 5)}, WEIR_E_TYPE, {"mask", "5"}},
  {{S(scale, F32_NAN)}, WEIR_E_INVALID, {"scale", "nan"}},
  {{S(scale, F32_INF)}, WEIR_E_INVALID, {"scale", "inf"}},
  {{S(softcap, F32_NAN)}, WEIR_E_INVALID, {"softcap", "nan"}},
  {{S(softcap, F32_INF)}, WEIR_E_INVALID, {"softcap", "inf"}},
  {{S(softcap, F32_MINUS_ONE)}, WEIR_E_INVALID, {"softcap", "-1"}},
};

START_TEST(test_bad_sdpa_descriptor) {
  weir_sdpa_desc desc = small_sdpa();
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_sdpa(device, &desc, &plan));
  weir_plan_free(plan);
  apply(&desc, bad_sdpa[_i].changes);
  plan = (weir_plan *)&desc;
  assert_fails(weir_plan_sdpa(device, &desc, &plan), bad_sdpa[_i].status, "weir_plan_sdpa", __FILE__, __LINE__,
               bad_sdpa[_i].words);
  ck_assert_ptr_null(plan);
  uint32_t count = 5;
  assert_fails(weir_explain_sdpa(device, &desc, NULL, 0, &count), bad_sdpa[_i].status, "weir_explain_sdpa", __FILE__,
               __LINE__, bad_sdpa[_i].words);
  ck_assert_uint_eq(count, 0);
}
END_TEST

static const struct {
  change changes[4];
} good_sdpa[] = {
  {{S(flags, WEIR_SDPA_CAUSAL | WEIR_SDPA_KV_LEN)}},
  {{S(head_dim, 8)}},
  {{S(head_dim, 40)}},
  {{S(head_dim, 512)}},
  {{S(q_heads, 2)}},
  {{S(q_heads, 14)}},
  {{S(scale, 0)}},
  {{S(scale, F32_MINUS_ONE)}},
  {{S(softcap, 0x42480000u)}},
  {{S(window, 1)}},
  {{S(window, UINT32_MAX)}},
  {{S(kv_len_hint, 5)}},
  {{S(mask, WEIR_MASK_BOOL)}},
  {{S(mask, WEIR_MASK_F32)}},
  {{S(mask, WEIR_MASK_BF16)}},
  {{S(q_type, WEIR_F16), S(kv_type, WEIR_F16), S(o_type, WEIR_F16)}},
  {{S(q_type, WEIR_F32), S(kv_type, WEIR_F32), S(o_type, WEIR_F32)}},
  {{S(q_len_max, 20)}},
};

START_TEST(test_good_sdpa_descriptor_is_served_and_described) {
  weir_sdpa_desc desc = small_sdpa();
  apply(&desc, good_sdpa[_i].changes);
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_sdpa(device, &desc, &plan));
  weir_sdpa_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_sdpa_get(plan, &info));
  ck_assert_uint_eq(info.struct_size, sizeof info);
  ck_assert(info.align > 0 && info.align <= 256 && (info.align & (info.align - 1)) == 0);
  ck_assert_str_ne(info.kernel, "");
  weir_plan_free(plan);
}
END_TEST

/* ---- Pointers and sizes ------------------------------------------------- */

START_TEST(test_null_pointers) {
  weir_matvec_desc matvec = small_matvec();
  weir_sdpa_desc sdpa = small_sdpa();
  weir_plan *plan = (weir_plan *)&matvec;
  ASSERT_FAILS(weir_plan_matvec(NULL, &matvec, &plan), WEIR_E_NULL, "device");
  ck_assert_ptr_null(plan);
  plan = (weir_plan *)&matvec;
  ASSERT_FAILS(weir_plan_matvec(device, NULL, &plan), WEIR_E_NULL, "desc");
  ck_assert_ptr_null(plan);
  ASSERT_FAILS(weir_plan_matvec(device, &matvec, NULL), WEIR_E_NULL, "out_plan");
  plan = (weir_plan *)&matvec;
  ASSERT_FAILS(weir_plan_sdpa(NULL, &sdpa, &plan), WEIR_E_NULL, "device");
  ck_assert_ptr_null(plan);
  ASSERT_FAILS(weir_plan_sdpa(device, NULL, &plan), WEIR_E_NULL, "desc");
  ASSERT_FAILS(weir_plan_sdpa(device, &sdpa, NULL), WEIR_E_NULL, "out_plan");
  weir_plan_free(NULL);
  ck_assert_ptr_nonnull(weir_plan_plugin(NULL));
}
END_TEST

START_TEST(test_struct_sizes) {
  struct {
    weir_matvec_desc known;
    uint32_t unknown[3];
  } matvec = {.known = small_matvec()};
  struct {
    weir_sdpa_desc known;
    uint32_t unknown[3];
  } sdpa = {.known = small_sdpa()};
  weir_plan *plan = NULL;
  static const uint32_t short_sizes[] = {0, 4, sizeof(weir_matvec_desc) - 4};
  for (int i = 0; i < COUNT(short_sizes); i++) {
    matvec.known.struct_size = short_sizes[i];
    ASSERT_FAILS(weir_plan_matvec(device, &matvec.known, &plan), WEIR_E_ABI, "struct_size", "weir_matvec_desc");
    sdpa.known.struct_size = short_sizes[i];
    ASSERT_FAILS(weir_plan_sdpa(device, &sdpa.known, &plan), WEIR_E_ABI, "struct_size", "weir_sdpa_desc");
  }
  matvec.known.struct_size = sizeof matvec;
  ASSERT_OK(weir_plan_matvec(device, &matvec.known, &plan));
  weir_plan_free(plan);
  sdpa.known.struct_size = sizeof sdpa;
  ASSERT_OK(weir_plan_sdpa(device, &sdpa.known, &plan));
  weir_plan_free(plan);
  matvec.unknown[2] = 1;
  ASSERT_FAILS(weir_plan_matvec(device, &matvec.known, &plan), WEIR_E_ABI, "weir_matvec_desc");
  ck_assert_ptr_null(plan);
  sdpa.unknown[0] = 1;
  ASSERT_FAILS(weir_plan_sdpa(device, &sdpa.known, &plan), WEIR_E_ABI, "weir_sdpa_desc");
}
END_TEST

START_TEST(test_asking_a_plan_of_the_other_kind) {
  weir_matvec_desc matvec_desc = small_matvec();
  weir_sdpa_desc sdpa_desc = small_sdpa();
  weir_plan *matvec = NULL, *sdpa = NULL;
  ASSERT_OK(weir_plan_matvec(device, &matvec_desc, &matvec));
  ASSERT_OK(weir_plan_sdpa(device, &sdpa_desc, &sdpa));
  weir_matvec_info matvec_info = {.struct_size = sizeof matvec_info};
  weir_sdpa_info sdpa_info = {.struct_size = sizeof sdpa_info};
  ASSERT_FAILS(weir_matvec_get(sdpa, &matvec_info), WEIR_E_INVALID, "sdpa", "matvec");
  ASSERT_FAILS(weir_sdpa_get(matvec, &sdpa_info), WEIR_E_INVALID, "sdpa", "matvec");
  ASSERT_FAILS(weir_matvec_get(NULL, &matvec_info), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_matvec_get(matvec, NULL), WEIR_E_NULL, "info");
  ASSERT_FAILS(weir_sdpa_get(NULL, &sdpa_info), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_sdpa_get(sdpa, NULL), WEIR_E_NULL, "info");
  matvec_info.struct_size = 0;
  ASSERT_FAILS(weir_matvec_get(matvec, &matvec_info), WEIR_E_ABI, "struct_size", "weir_matvec_info");
  sdpa_info.struct_size = 3;
  ASSERT_FAILS(weir_sdpa_get(sdpa, &sdpa_info), WEIR_E_ABI, "struct_size", "weir_sdpa_info");
  ck_assert_uint_eq(weir_act_size(sdpa, 1), 0);
  ASSERT_NAMES(weir_last_error(), "sdpa");
  weir_plan_free(matvec);
  weir_plan_free(sdpa);
}
END_TEST

START_TEST(test_sizes_for_rows_out_of_range) {
  weir_matvec_desc matvec_desc = small_matvec();
  weir_sdpa_desc sdpa_desc = small_sdpa();
  weir_plan *matvec = NULL, *sdpa = NULL;
  ASSERT_OK(weir_plan_matvec(device, &matvec_desc, &matvec));
  ASSERT_OK(weir_plan_sdpa(device, &sdpa_desc, &sdpa));
  ck_assert_uint_eq(weir_act_size(matvec, 0), 0);
  ASSERT_NAMES(weir_last_error(), "0", "2");
  ck_assert_uint_eq(weir_act_size(matvec, 3), 0);
  ASSERT_NAMES(weir_last_error(), "3", "2");
  ck_assert_uint_eq(weir_workspace_size(matvec, 33), 0);
  ASSERT_NAMES(weir_last_error(), "33", "2");
  ck_assert_uint_eq(weir_workspace_size(sdpa, 44), 0);
  ASSERT_NAMES(weir_last_error(), "44", "3");
  ck_assert_uint_eq(weir_act_size(NULL, 1), 0);
  ASSERT_NAMES(weir_last_error(), "plan");
  weir_plan_free(matvec);
  weir_plan_free(sdpa);
}
END_TEST

/* Plans of one recipe read each other's act; those of different k never do. */
START_TEST(test_act_tags) {
  weir_matvec_desc desc = small_matvec();
  weir_matvec_info info[4] = {0};
  static const change changes[4][4] = {{M(n, 8)}, {M(n, 24)}, {M(k, 256)}, {M(x_type, WEIR_F32)}};
  for (int i = 0; i < 4; i++) {
    weir_plan *plan = NULL;
    desc = small_matvec();
    apply(&desc, changes[i]);
    ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
    info[i].struct_size = sizeof info[i];
    ASSERT_OK(weir_matvec_get(plan, &info[i]));
    weir_plan_free(plan);
  }
  ck_assert_uint_eq(info[0].act_tag, info[1].act_tag);
  ck_assert(info[0].act_tag == 0 || info[0].act_tag != info[2].act_tag);
  ck_assert(info[0].act_tag == 0 || info[0].act_tag != info[3].act_tag);
}
END_TEST

/* ---- Lifetime ----------------------------------------------------------- */

START_TEST(test_plan_outlives_device_and_runtime) {
  problem p;
  problem_make(&p, 24, 256, 3, 64, 7);
  float y[72];
  weir_runtime *early = open_runtime(plugin_directory(), NULL);
  weir_device *held = open_device(early, "cpu");
  weir_device *gone = open_device(early, "cpu");
  weir_plan *plan = NULL;
  ASSERT_OK(weir_plan_matvec(gone, &p.desc, &plan));
  weir_close(early);
  weir_device_close(gone);
  ASSERT_OK(problem_run(&p, held, plan, y));
  ck_assert(problem_solved(&p, y));
  assert_solves(held, &p, NULL);
  weir_device_close(held);
  ck_assert_str_ne(weir_plan_plugin(plan), "");
  weir_plan_free(plan);
  problem_free(&p);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("plan");
  TCase *matvec = tcase_create("matvec");
  tcase_add_checked_fixture(matvec, open_all, close_all);
  tcase_add_loop_test(matvec, test_bad_matvec_descriptor, 0, COUNT(bad_matvec));
  tcase_add_loop_test(matvec, test_good_matvec_descriptor_is_served_and_described, 0, COUNT(good_matvec));
  tcase_add_test(matvec, test_act_tags);
  suite_add_tcase(suite, matvec);
  TCase *sdpa = tcase_create("sdpa");
  tcase_add_checked_fixture(sdpa, open_all, close_all);
  tcase_add_loop_test(sdpa, test_bad_sdpa_descriptor, 0, COUNT(bad_sdpa));
  tcase_add_loop_test(sdpa, test_good_sdpa_descriptor_is_served_and_described, 0, COUNT(good_sdpa));
  suite_add_tcase(suite, sdpa);
  TCase *both = tcase_create("both");
  tcase_add_checked_fixture(both, open_all, close_all);
  tcase_add_test(both, test_null_pointers);
  tcase_add_test(both, test_struct_sizes);
  tcase_add_test(both, test_asking_a_plan_of_the_other_kind);
  tcase_add_test(both, test_sizes_for_rows_out_of_range);
  tcase_add_test(both, test_plan_outlives_device_and_runtime);
  suite_add_tcase(suite, both);
  return run_suite(suite);
}

/* SPDX-License-Identifier: MIT */

/* weir_linear is weir_quantize and then weir_matvec: by the plugin's own linear()
 * where its table has one, else by its other two. How its arguments are checked is in
 * check_enqueue. */
#include "badplugins/calls.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

enum { ROOM = 16384, Y_MOST = 64, POISON = 0xa5 };

/* On the CPU every memory will do. */
static _Alignas(256) uint8_t packed[ROOM], act[ROOM], workspace[ROOM];
static _Alignas(256) uint8_t x[ROOM], bias[ROOM];
static float y[Y_MOST];

/* ---- The same bits ------------------------------------------------------ */

static uint8_t codes[ROOM], scales[ROOM], zeros[ROOM];

/* Values from -1.3 to 1.3 that are exact in nothing. */
static void fill(uint8_t *out, size_t count, weir_type type, uint32_t seed) {
  ck_assert_uint_le(count * sizeof(float), ROOM);
  for (size_t i = 0; i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    float value = (float)((int)(seed >> 8) % 2001 - 1000) / 777.0f;
    uint16_t half = bf16(value);
    if (type == WEIR_BF16) memcpy(out + i * sizeof half, &half, sizeof half);
    else memcpy(out + i * sizeof value, &value, sizeof value);
  }
}

static void fill_all(const weir_matvec_desc *desc) {
  size_t groups = (size_t)desc->n * (desc->k / desc->group);
  for (int i = 0; i < ROOM; i++) {
    codes[i] = (uint8_t)(i * 37 + i / 256 * 11);
  }
  fill(scales, groups, desc->scale_type, 1);
  fill(zeros, groups, desc->zero_type, 2);
  fill(bias, desc->n, desc->bias_type, 3);
  fill(x, (size_t)desc->m_max * desc->k, desc->x_type, 4);
}

static void assert_same_bits(const weir_plan *plan, const weir_matvec_desc *desc, uint32_t m) {
  static uint8_t other_act[ROOM] __attribute__((aligned(256)));
  float want[Y_MOST];
  weir_quantize_args quantize = {
    .struct_size = sizeof quantize, .m = m, .x = x, .act = other_act, .act_size = weir_act_size(plan, m)};
  weir_matvec_args matvec = {.struct_size = sizeof matvec, .m = m, .packed = packed, .act = other_act, .y = want};
  weir_linear_args linear = {.struct_size = sizeof linear, .m = m, .packed = packed, .x = x, .act = act, .y = y};
  matvec.bias = linear.bias = desc->bias_type != WEIR_NONE ? bias : NULL;
  linear.act_size = quantize.act_size;
  matvec.workspace_size = linear.workspace_size = weir_workspace_size(plan, m);
  matvec.workspace = linear.workspace = matvec.workspace_size > 0 ? workspace : NULL;
  ck_assert_uint_le(linear.act_size, ROOM);
  ck_assert_uint_le(linear.workspace_size, ROOM);
  ck_assert_uint_lt(m * desc->n, Y_MOST);
  memset(want, POISON, sizeof want);
  memset(y, POISON, sizeof y);
  memset(act, 0x5a, sizeof act);
  ASSERT_OK(weir_linear(plan, &linear, NULL));
  ASSERT_OK(weir_quantize(plan, &quantize, NULL));
  ASSERT_OK(weir_matvec(plan, &matvec, NULL));
  ck_assert_mem_eq(y, want, sizeof y);
  uint8_t poison[sizeof y];
  memset(poison, POISON, sizeof poison);
  size_t written = (size_t)m * desc->n * (desc->y_type == WEIR_F32 ? 4 : 2);
  ck_assert_mem_ne(y, poison, written);
  ck_assert_mem_eq((uint8_t *)y + written, poison, sizeof y - written);
  ck_assert_msg(want[0] != 0 && want[1] != want[0], "the problem is too simple");
}

static const char *const real_plugins[] = {"cpu", "ref"};

START_TEST(test_same_bits_as_quantize_and_matvec) {
  weir_matvec_desc descs[4];
  descs[0] = descs[1] = descs[2] = descs[3] = small_matvec();
  descs[1].zero_type = WEIR_BF16;
  descs[1].bias_type = WEIR_F32;
  descs[1].form = WEIR_FORM_MIN;
  descs[2].op = WEIR_OP_INT8_MATVEC;
  descs[2].n = 13;
  descs[2].k = 160;
  descs[2].m_max = 4;
  descs[2].bias_type = WEIR_BF16;
  descs[3].x_type = WEIR_F32;
  descs[3].y_type = WEIR_BF16;
  descs[3].group = 128;
  char selection[64];
  snprintf(selection, sizeof selection, "int4_matvec=%s,int8_matvec=%s", real_plugins[_i], real_plugins[_i]);
  weir_runtime *runtime = open_runtime(plugin_directory(), selection);
  weir_device *device = open_device(runtime, "cpu");
  for (int i = 0; i < COUNT(descs); i++) {
    weir_plan *plan = NULL;
    weir_matvec_info info = {.struct_size = sizeof info};
    weir_matvec_source source = {.struct_size = sizeof source, .codes = codes, .scales = scales};
    source.zeros = descs[i].zero_type != WEIR_NONE ? zeros : NULL;
    fill_all(&descs[i]);
    ASSERT_OK(weir_plan_matvec(device, &descs[i], &plan));
    ck_assert_str_eq(weir_plan_plugin(plan), real_plugins[_i]);
    ASSERT_OK(weir_matvec_get(plan, &info));
    ck_assert_uint_le(info.packed_size, ROOM);
    ASSERT_OK(weir_pack(plan, &source, 0, descs[i].n, packed, info.packed_size));
    memset(workspace, 0, sizeof workspace);
    for (uint32_t m = 1; m <= descs[i].m_max; m++) {
      assert_same_bits(plan, &descs[i], m);
    }
    weir_plan_free(plan);
  }
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

/* ---- What the plugin is asked ------------------------------------------- */

/* A plan of a plugin that notes its calls; every argument differs from every other. */
static weir_runtime *runtime;
static weir_device *device;
static weir_plan *plan;
static weir_linear_args args;
static noted_calls *const calls = (noted_calls *)act;

static void plan_of(const char *plugin) {
  weir_matvec_desc desc = small_matvec();
  desc.bias_type = WEIR_F32;
  desc.m_max = 3;
  ASSERT_OK(weir_plan_matvec(device, &desc, &plan));
  ck_assert_str_eq(weir_plan_plugin(plan), plugin);
  memset(act, 0, sizeof act);
  memset(y, POISON, sizeof y);
  args = (weir_linear_args){
    .struct_size = sizeof args,
    .m = 2,
    .packed = packed,
    .x = x,
    .bias = bias,
    .y = y,
    .act = act,
    .act_size = weir_act_size(plan, 2) + 1,
    .workspace = workspace,
    .workspace_size = weir_workspace_size(plan, 2) + 2,
  };
  ck_assert_uint_ge(args.act_size, sizeof *calls);
  ck_assert_uint_le(args.act_size, sizeof act);
  ck_assert_uint_gt(args.workspace_size, 2);
}

static void open_plugin(const char *plugin) {
  runtime = open_runtime(bad_plugin(plugin), NULL);
  ASSERT_OK(weir_select(runtime, plugin));
  device = open_device(runtime, "cpu");
  plan_of(plugin);
}

static void close_plugin(void) {
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
}

/* The first `count` of y, and nothing else. */
static void assert_marked(float mark, int count) {
  uint8_t poison[sizeof y];
  memset(poison, POISON, sizeof poison);
  for (int i = 0; i < count; i++) {
    ck_assert_float_eq(y[i], mark);
  }
  ck_assert_mem_eq(y + count, poison, sizeof y - (size_t)count * sizeof y[0]);
}

static void assert_one_linear(weir_stream stream) {
  ck_assert_uint_eq(calls->count, 1);
  ck_assert_uint_eq(calls->call[0].member, CALL_LINEAR);
  ck_assert_ptr_eq(calls->call[0].stream, stream);
  ck_assert_mem_eq(&calls->call[0].args.linear, &args, sizeof args);
}

static void assert_quantize(const noted_call *call, weir_stream stream) {
  weir_quantize_args want = {
    .struct_size = sizeof want, .m = args.m, .x = args.x, .act = args.act, .act_size = args.act_size};
  ck_assert_uint_eq(call->member, CALL_QUANTIZE);
  ck_assert_ptr_eq(call->stream, stream);
  ck_assert_mem_eq(&call->args.quantize, &want, sizeof want);
}

static void assert_matvec(const noted_call *call, weir_stream stream) {
  weir_matvec_args want = {.struct_size = sizeof want,
                           .m = args.m,
                           .packed = args.packed,
                           .act = args.act,
                           .bias = args.bias,
                           .y = args.y,
                           .workspace = args.workspace,
                           .workspace_size = args.workspace_size};
  ck_assert_uint_eq(call->member, CALL_MATVEC);
  ck_assert_ptr_eq(call->stream, stream);
  ck_assert_mem_eq(&call->args.matvec, &want, sizeof want);
}

START_TEST(test_own_linear_gets_the_arguments) {
  open_plugin("linear_own");
  ASSERT_OK(weir_linear(plan, &args, NULL));
  assert_one_linear(NULL);
  assert_marked(CALLS_LINEAR_MARK, 2 * 8);
  close_plugin();
}
END_TEST

/* A host of a later header has a longer struct; a plugin sees the one of this header. */
START_TEST(test_own_linear_gets_the_known_part_of_longer_arguments) {
  open_plugin("linear_own");
  struct {
    weir_linear_args known;
    uint64_t unknown;
  } late = {.known = args};
  late.known.struct_size = sizeof late;
  ASSERT_OK(weir_linear(plan, &late.known, NULL));
  assert_one_linear(NULL);
  close_plugin();
}
END_TEST

START_TEST(test_error_of_own_linear_is_returned) {
  open_plugin("linear_own");
  calls->fails = CALL_LINEAR;
  ASSERT_FAILS(weir_linear(plan, &args, NULL), WEIR_E_DRIVER, "call 3 fails as it was asked to");
  assert_one_linear(NULL);
  assert_marked(0, 0);
  close_plugin();
}
END_TEST

START_TEST(test_refused_arguments_reach_no_plugin) {
  open_plugin("linear_own");
  args.m = 4;
  ASSERT_FAILS(weir_linear(plan, &args, NULL), WEIR_E_SHAPE, "4", "3");
  ck_assert_uint_eq(calls->count, 0);
  assert_marked(0, 0);
  close_plugin();
}
END_TEST

/* quantize and matvec of a plugin that has linear are asked as ever. */
START_TEST(test_own_linear_changes_no_other_call) {
  open_plugin("linear_own");
  weir_quantize_args quantize = {
    .struct_size = sizeof quantize, .m = 2, .x = x, .act = act, .act_size = args.act_size};
  weir_matvec_args matvec = {.struct_size = sizeof matvec, .m = 2, .packed = packed, .act = act, .bias = bias, .y = y};
  matvec.workspace = workspace;
  matvec.workspace_size = args.workspace_size;
  ASSERT_OK(weir_quantize(plan, &quantize, NULL));
  ASSERT_OK(weir_matvec(plan, &matvec, NULL));
  ck_assert_uint_eq(calls->count, 2);
  assert_quantize(&calls->call[0], NULL);
  assert_matvec(&calls->call[1], NULL);
  assert_marked(CALLS_MATVEC_MARK, 2 * 8);
  close_plugin();
}
END_TEST

static const char *const without_linear[] = {"linear_null", "linear_older", "linear_half"};

START_TEST(test_without_linear_both_are_called) {
  open_plugin(without_linear[_i]);
  ASSERT_OK(weir_linear(plan, &args, NULL));
  ck_assert_uint_eq(calls->count, 2);
  assert_quantize(&calls->call[0], NULL);
  assert_matvec(&calls->call[1], NULL);
  assert_marked(CALLS_MATVEC_MARK, 2 * 8);
  close_plugin();
}
END_TEST

START_TEST(test_error_of_quantize_is_returned_and_matvec_not_called) {
  open_plugin(without_linear[_i]);
  calls->fails = CALL_QUANTIZE;
  ASSERT_FAILS(weir_linear(plan, &args, NULL), WEIR_E_DRIVER, "call 1 fails as it was asked to");
  ck_assert_uint_eq(calls->count, 1);
  assert_quantize(&calls->call[0], NULL);
  assert_marked(0, 0);
  close_plugin();
}
END_TEST

START_TEST(test_error_of_matvec_is_returned) {
  open_plugin(without_linear[_i]);
  calls->fails = CALL_MATVEC;
  ASSERT_FAILS(weir_linear(plan, &args, NULL), WEIR_E_DRIVER, "call 2 fails as it was asked to");
  ck_assert_uint_eq(calls->count, 2);
  assert_matvec(&calls->call[1], NULL);
  assert_marked(0, 0);
  close_plugin();
}
END_TEST

/* Only a device that is no CPU has streams: the stand-in driver's. The plugins run on the
 * CPU all the same. */
static const char *stand_in_driver(void) {
  const char *directory = getenv("WEIR_TEST_FAKECUDA");
  const char *driver = directory != NULL ? file_in(directory, "libcuda.so.1") : NULL;
  return driver != NULL && access(driver, R_OK) == 0 ? driver : NULL;
}

START_TEST(test_stream_is_handed_on) {
  static const char *const plugins[] = {"linear_own", "linear_null"};
  weir_stream stream = &args;
  clear_environment();
  weir_options options = {.struct_size = sizeof options,
                          .selection = plugins[_i],
                          .plugin_path = bad_plugin(plugins[_i]),
                          .cuda_library = stand_in_driver()};
  ASSERT_OK(weir_open(&options, &runtime));
  device = open_device(runtime, "cuda:0");
  plan_of(plugins[_i]);
  ASSERT_OK(weir_linear(plan, &args, stream));
  if (_i == 0) {
    assert_one_linear(stream);
  } else {
    ck_assert_uint_eq(calls->count, 2);
    assert_quantize(&calls->call[0], stream);
    assert_matvec(&calls->call[1], stream);
  }
  close_plugin();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("linear");
  TCase *bits = tcase_create("bits");
  tcase_add_loop_test(bits, test_same_bits_as_quantize_and_matvec, 0, COUNT(real_plugins));
  suite_add_tcase(suite, bits);
  TCase *own = tcase_create("own");
  tcase_add_test(own, test_own_linear_gets_the_arguments);
  tcase_add_test(own, test_own_linear_gets_the_known_part_of_longer_arguments);
  tcase_add_test(own, test_error_of_own_linear_is_returned);
  tcase_add_test(own, test_refused_arguments_reach_no_plugin);
  tcase_add_test(own, test_own_linear_changes_no_other_call);
  suite_add_tcase(suite, own);
  TCase *both = tcase_create("both");
  tcase_add_loop_test(both, test_without_linear_both_are_called, 0, COUNT(without_linear));
  tcase_add_loop_test(both, test_error_of_quantize_is_returned_and_matvec_not_called, 0, COUNT(without_linear));
  tcase_add_loop_test(both, test_error_of_matvec_is_returned, 0, COUNT(without_linear));
  suite_add_tcase(suite, both);
  if (stand_in_driver() != NULL) {
    TCase *streams = tcase_create("streams");
    tcase_add_loop_test(streams, test_stream_is_handed_on, 0, 2);
    suite_add_tcase(suite, streams);
  }
  return run_suite(suite);
}

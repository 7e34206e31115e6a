/* SPDX-License-Identifier: MIT */

/* Arguments of pack, quantize, matvec, linear and sdpa: each rule of weir/plugin.h broken
 * alone. A call that fails leaves its output as it was. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(table) (int)(sizeof(table) / sizeof((table)[0]))

enum { ROOM = 16384, POISON = 0xa5 };
enum { X_BYTES = 2 * 128 * 2, Y_BYTES = 2 * 8 * 4 }; /* of two rows of small_matvec() */

/* One plan, its arguments, and memory that is larger than anything asks for. */
static weir_runtime *runtime;
static weir_device *device;
static weir_plan *matvec_plan, *sdpa_plan;
static weir_matvec_source source;
static weir_quantize_args quantize;
static weir_matvec_args matvec;
static weir_linear_args linear;
static weir_sdpa_args sdpa;
static uint64_t packed_size;
static uint8_t *input, *output, *room;

static void open_with(const char *path, weir_matvec_desc desc, weir_sdpa_desc sdpa_desc) {
  runtime = open_runtime(path, NULL);
  device = open_device(runtime, "cpu");
  ASSERT_OK(weir_memory_alloc(device, ROOM, (void **)&input));
  ASSERT_OK(weir_memory_alloc(device, ROOM, (void **)&output));
  ASSERT_OK(weir_memory_alloc(device, ROOM, (void **)&room));
  memset(input, 0, ROOM);
  memset(output, POISON, ROOM);
  memset(room, 0, ROOM);
  ASSERT_OK(weir_plan_matvec(device, &desc, &matvec_plan));
  ASSERT_OK(weir_plan_sdpa(device, &sdpa_desc, &sdpa_plan));
  weir_matvec_info info = {.struct_size = sizeof info};
  ASSERT_OK(weir_matvec_get(matvec_plan, &info));
  packed_size = info.packed_size;
  source = (weir_matvec_source){.struct_size = sizeof source, .codes = input, .scales = input};
  source.zeros = desc.zero_type != WEIR_NONE ? input : NULL;
  quantize = (weir_quantize_args){.struct_size = sizeof quantize, .m = 2, .x = input, .act = output};
  quantize.act_size = weir_act_size(matvec_plan, 2);
  matvec = (weir_matvec_args){.struct_size = sizeof matvec, .m = 2, .packed = input, .act = room, .y = output};
  matvec.bias = desc.bias_type != WEIR_NONE ? input : NULL;
  matvec.workspace_size = weir_workspace_size(matvec_plan, 2);
  matvec.workspace = matvec.workspace_size > 0 ? room : NULL;
  ck_assert_uint_le(packed_size, ROOM);
  ck_assert_uint_le(matvec.workspace_size, ROOM);
  linear = (weir_linear_args){
    .struct_size = sizeof linear,
    .m = 2,
    .packed = input,
    .x = input,
    .bias = matvec.bias,
    .y = output,
    .act = output + ROOM / 2,
    .act_size = quantize.act_size,
    .workspace = matvec.workspace,
    .workspace_size = matvec.workspace_size,
  };
  ck_assert_uint_le(quantize.act_size, ROOM / 2);
  sdpa = (weir_sdpa_args){
    .struct_size = sizeof sdpa,
    .q_len = 2,
    .kv_len = 6,
    .q = input,
    .k = input,
    .v = input,
    .o = output,
    .q_stride = {192, 48, 16},
    .k_stride = {320, 160, 16},
    .v_stride = {320, 160, 16},
    .o_stride = {192, 48, 16},
    .mask_stride = {0, 0, 10},
  };
  sdpa.mask = sdpa_desc.mask != WEIR_MASK_NONE ? input : NULL;
  sdpa.workspace_size = weir_workspace_size(sdpa_plan, 2);
  sdpa.workspace = sdpa.workspace_size > 0 ? room : NULL;
  ck_assert_uint_le(sdpa.workspace_size, ROOM);
}

static void open_plain(void) {
  open_with(plugin_directory(), small_matvec(), small_sdpa());
}

/* Everything optional is in: zeros, a bias, a mask, lengths in device memory. */
static void open_full(void) {
  weir_matvec_desc desc = small_matvec();
  weir_sdpa_desc sdpa_desc = small_sdpa();
  desc.zero_type = WEIR_BF16;
  desc.bias_type = WEIR_F32;
  sdpa_desc.mask = WEIR_MASK_F32;
  sdpa_desc.flags = WEIR_SDPA_KV_LEN;
  open_with(plugin_directory(), desc, sdpa_desc);
  sdpa.kv_len_device = (const int32_t *)room;
  sdpa.kv_len = UINT32_MAX;
}

/* roomy wants 1000 bytes of workspace a row, aligned to 256. */
static void open_roomy(void) {
  open_with(PLUGIN_PATH(plugin_directory(), bad_plugin("roomy")), small_matvec(), small_sdpa());
  weir_plan_free(matvec_plan);
  weir_matvec_desc desc = small_matvec();
  ASSERT_OK(weir_select(runtime, "int4_matvec=roomy"));
  ASSERT_OK(weir_plan_matvec(device, &desc, &matvec_plan));
  quantize.act_size = weir_act_size(matvec_plan, 2);
  matvec.workspace_size = weir_workspace_size(matvec_plan, 2);
  matvec.workspace = room;
  linear.act_size = quantize.act_size;
  linear.workspace_size = matvec.workspace_size;
  linear.workspace = room;
  packed_size = 8;
}

static void close_plans(void) {
  weir_plan_free(matvec_plan);
  weir_plan_free(sdpa_plan);
  weir_memory_free(device, input);
  weir_memory_free(device, output);
  weir_memory_free(device, room);
  weir_device_close(device);
  weir_close(runtime);
}

static void assert_untouched(void) {
  for (int i = 0; i < ROOM; i++) {
    ck_assert_msg(output[i] == POISON, "the failed call wrote byte %d", i);
  }
}

static void refuses(weir_status status, weir_status want, const char *call, int line, const char *const *words) {
  assert_fails(status, want, call, __FILE__, line, words);
  assert_untouched();
}

static weir_status call_pack(void) {
  return weir_pack(matvec_plan, &source, 0, 8, output, packed_size);
}

static weir_status call_quantize(void) {
  return weir_quantize(matvec_plan, &quantize, NULL);
}

static weir_status call_matvec(void) {
  return weir_matvec(matvec_plan, &matvec, NULL);
}

static weir_status call_linear(void) {
  return weir_linear(matvec_plan, &linear, NULL);
}

static weir_status call_sdpa(void) {
  return weir_sdpa(sdpa_plan, &sdpa, NULL);
}

/* The call fails once the statement was done; its effect is undone afterwards. */
#define BROKEN(statement, object, call, status, ...)                                 \
  do {                                                                               \
    __typeof__(object) kept_ = (object);                                             \
    statement;                                                                       \
    refuses(call(), (status), #call " after " #statement, __LINE__,                  \
            (const char *const[]){__VA_ARGS__, NULL});                               \
    (object) = kept_;                                                                \
  } while (0)
#define PACK(statement, ...) BROKEN(source.statement, source, call_pack, __VA_ARGS__)
#define QUANTIZE(statement, ...) BROKEN(quantize.statement, quantize, call_quantize, __VA_ARGS__)
#define MATVEC(statement, ...) BROKEN(matvec.statement, matvec, call_matvec, __VA_ARGS__)
#define LINEAR(statement, ...) BROKEN(linear.statement, linear, call_linear, __VA_ARGS__)
#define SDPA(statement, ...) BROKEN(sdpa.statement, sdpa, call_sdpa, __VA_ARGS__)

/* ---- Calls that work ---------------------------------------------------- */

START_TEST(test_untouched_arguments_work) {
  ASSERT_OK(call_pack());
  memset(output, POISON, ROOM);
  ASSERT_OK(call_quantize());
  memset(output, POISON, ROOM);
  /* What matvec reads must be what pack and quantize wrote. */
  ASSERT_OK(weir_pack(matvec_plan, &source, 0, 8, input + 8192, packed_size));
  quantize.act = input + 12288;
  ASSERT_OK(call_quantize());
  matvec.packed = input + 8192;
  matvec.act = input + 12288;
  ASSERT_OK(call_matvec());
  ck_assert_uint_ne(output[0], POISON);
  memset(output, POISON, ROOM);
  linear.packed = input + 8192;
  ASSERT_OK(call_linear());
  ck_assert_uint_ne(output[0], POISON);
  memset(output, POISON, ROOM);
  ASSERT_OK(call_sdpa());
  ck_assert_uint_eq(output[0], 0);
}
END_TEST

START_TEST(test_longer_arguments_with_a_zero_tail_work) {
  struct {
    weir_matvec_source known;
    uint64_t unknown;
  } late_source = {.known = source};
  struct {
    weir_quantize_args known;
    uint64_t unknown;
  } late_quantize = {.known = quantize};
  struct {
    weir_linear_args known;
    uint64_t unknown;
  } late_linear = {.known = linear};
  struct {
    weir_sdpa_args known;
    uint64_t unknown;
  } late_sdpa = {.known = sdpa};
  late_source.known.struct_size = sizeof late_source;
  late_quantize.known.struct_size = sizeof late_quantize;
  late_linear.known.struct_size = sizeof late_linear;
  late_sdpa.known.struct_size = sizeof late_sdpa;
  ASSERT_OK(weir_pack(matvec_plan, &late_source.known, 0, 8, output, packed_size));
  ASSERT_OK(weir_quantize(matvec_plan, &late_quantize.known, NULL));
  ASSERT_OK(weir_linear(matvec_plan, &late_linear.known, NULL));
  ASSERT_OK(weir_sdpa(sdpa_plan, &late_sdpa.known, NULL));
  memset(output, POISON, ROOM);
  late_source.unknown = late_quantize.unknown = late_linear.unknown = late_sdpa.unknown = 1;
  ASSERT_FAILS(weir_pack(matvec_plan, &late_source.known, 0, 8, output, packed_size), WEIR_E_ABI,
               "weir_matvec_source");
  ASSERT_FAILS(weir_quantize(matvec_plan, &late_quantize.known, NULL), WEIR_E_ABI, "weir_quantize_args");
  ASSERT_FAILS(weir_linear(matvec_plan, &late_linear.known, NULL), WEIR_E_ABI, "weir_linear_args");
  ASSERT_FAILS(weir_sdpa(sdpa_plan, &late_sdpa.known, NULL), WEIR_E_ABI, "weir_sdpa_args");
  assert_untouched();
}
END_TEST

/* ---- pack --------------------------------------------------------------- */

START_TEST(test_pack_refuses) {
  char size[32], less[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)packed_size);
  snprintf(less, sizeof less, "%llu", (unsigned long long)packed_size - 1);
  PACK(struct_size = 0, WEIR_E_ABI, "struct_size", "weir_matvec_source");
  PACK(flags = 2, WEIR_E_FLAGS, "0x2|2");
  PACK(codes = NULL, WEIR_E_NULL, "codes");
  PACK(scales = NULL, WEIR_E_NULL, "scales");
  PACK(zeros = input, WEIR_E_INVALID, "zeros");
  PACK(scales = input + 1, WEIR_E_INVALID, "scales", "align");
#define RANGE(n0, n1, status, ...) \
  refuses(weir_pack(matvec_plan, &source, n0, n1, output, packed_size), status, "weir_pack", __LINE__, \
          (const char *const[]){__VA_ARGS__, NULL})
  RANGE(0, 9, WEIR_E_SHAPE, "9", "8");
  RANGE(5, 3, WEIR_E_SHAPE, "5", "3");
  RANGE(8, 9, WEIR_E_SHAPE, "9", "8");
  RANGE(UINT32_MAX, UINT32_MAX, WEIR_E_SHAPE, "4294967295", "8");
  BROKEN(packed_size--, packed_size, call_pack, WEIR_E_WORKSPACE, size, less);
  BROKEN(packed_size = 0, packed_size, call_pack, WEIR_E_WORKSPACE, size, "0");
  ASSERT_FAILS(weir_pack(matvec_plan, &source, 0, 8, NULL, packed_size), WEIR_E_NULL, "out_packed");
  ASSERT_FAILS(weir_pack(matvec_plan, NULL, 0, 8, output, packed_size), WEIR_E_NULL, "source");
  ASSERT_FAILS(weir_pack(NULL, &source, 0, 8, output, packed_size), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_pack(sdpa_plan, &source, 0, 8, output, packed_size), WEIR_E_INVALID, "sdpa");
  assert_untouched();
}
END_TEST

/* Rows in any cut and order give the same bytes, and leave none undefined. */
START_TEST(test_pack_in_pieces) {
  for (int i = 0; i < ROOM; i++) {
    input[i] = (uint8_t)(i * 37 + i / 256);
  }
  ASSERT_OK(call_pack());
  memset(room, 0x5a, ROOM);
  source.scales = input + 3 * 4 * 2;
  source.codes = input + 3 * 64;
  ASSERT_OK(weir_pack(matvec_plan, &source, 3, 8, room, packed_size));
  source.scales = input + 1 * 4 * 2;
  source.codes = input + 1 * 64;
  ASSERT_OK(weir_pack(matvec_plan, &source, 1, 3, room, packed_size));
  source.scales = input;
  source.codes = input;
  ASSERT_OK(weir_pack(matvec_plan, &source, 0, 1, room, packed_size));
  ck_assert_mem_eq(output, room, packed_size);
  for (int i = (int)packed_size; i < ROOM; i++) {
    ck_assert_uint_eq(room[i], 0x5a);
  }
}
END_TEST

/* ---- quantize ----------------------------------------------------------- */

START_TEST(test_quantize_refuses) {
  char size[32], less[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)quantize.act_size);
  snprintf(less, sizeof less, "%llu", (unsigned long long)quantize.act_size - 1);
  QUANTIZE(struct_size = 0, WEIR_E_ABI, "struct_size", "weir_quantize_args");
  QUANTIZE(struct_size = 8, WEIR_E_ABI, "struct_size", "8");
  QUANTIZE(flags = 16, WEIR_E_FLAGS, "0x10|16");
  QUANTIZE(reserved = 5, WEIR_E_INVALID, "reserved", "5");
  QUANTIZE(m = 0, WEIR_E_SHAPE, "m", "0", "2");
  QUANTIZE(m = 3, WEIR_E_SHAPE, "m", "3", "2");
  QUANTIZE(m = UINT32_MAX, WEIR_E_SHAPE, "4294967295", "2");
  QUANTIZE(x = NULL, WEIR_E_NULL, "x");
  QUANTIZE(act = NULL, WEIR_E_NULL, "act");
  QUANTIZE(x = input + 1, WEIR_E_INVALID, "x", "align");
  QUANTIZE(act_size--, WEIR_E_WORKSPACE, "act", size, less);
  QUANTIZE(act_size = 0, WEIR_E_WORKSPACE, "act", size, "0");
  ASSERT_FAILS(weir_quantize(NULL, &quantize, NULL), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_quantize(matvec_plan, NULL, NULL), WEIR_E_NULL, "args");
  ASSERT_FAILS(weir_quantize(sdpa_plan, &quantize, NULL), WEIR_E_INVALID, "sdpa", "matvec");
  assert_untouched();
}
END_TEST

/* ---- matvec ------------------------------------------------------------- */

START_TEST(test_matvec_refuses) {
  MATVEC(struct_size = 0, WEIR_E_ABI, "struct_size", "weir_matvec_args");
  MATVEC(flags = 1, WEIR_E_FLAGS, "0x1|1");
  MATVEC(reserved = 6, WEIR_E_INVALID, "reserved", "6");
  MATVEC(m = 0, WEIR_E_SHAPE, "m", "0", "2");
  MATVEC(m = 3, WEIR_E_SHAPE, "m", "3", "2");
  MATVEC(packed = NULL, WEIR_E_NULL, "packed");
  MATVEC(act = NULL, WEIR_E_NULL, "act");
  MATVEC(y = NULL, WEIR_E_NULL, "y");
  MATVEC(bias = input, WEIR_E_INVALID, "bias");
  MATVEC(y = output + 2, WEIR_E_INVALID, "y", "align");
  ASSERT_FAILS(weir_matvec(NULL, &matvec, NULL), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_matvec(matvec_plan, NULL, NULL), WEIR_E_NULL, "args");
  ASSERT_FAILS(weir_matvec(sdpa_plan, &matvec, NULL), WEIR_E_INVALID, "sdpa", "matvec");
  assert_untouched();
}
END_TEST

/* ---- linear ------------------------------------------------------------- */

START_TEST(test_linear_refuses) {
  char size[32], less[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)linear.act_size);
  snprintf(less, sizeof less, "%llu", (unsigned long long)linear.act_size - 1);
  LINEAR(struct_size = 0, WEIR_E_ABI, "struct_size", "weir_linear_args");
  LINEAR(struct_size = 8, WEIR_E_ABI, "struct_size", "8");
  LINEAR(struct_size--, WEIR_E_ABI, "struct_size", "79", "80");
  LINEAR(flags = 16, WEIR_E_FLAGS, "weir_linear_args", "0x10|16");
  LINEAR(reserved = 5, WEIR_E_INVALID, "weir_linear_args", "reserved", "5");
  LINEAR(m = 0, WEIR_E_SHAPE, "m", "0", "2");
  LINEAR(m = 3, WEIR_E_SHAPE, "m", "3", "2");
  LINEAR(m = UINT32_MAX, WEIR_E_SHAPE, "4294967295", "2");
  LINEAR(packed = NULL, WEIR_E_NULL, "packed is null");
  LINEAR(x = NULL, WEIR_E_NULL, "x is null");
  LINEAR(y = NULL, WEIR_E_NULL, "y is null");
  LINEAR(act = NULL, WEIR_E_NULL, "act is null");
  LINEAR(bias = input, WEIR_E_INVALID, "bias");
  LINEAR(packed = input + 1, WEIR_E_INVALID, "packed is", "align");
  LINEAR(x = input + 1, WEIR_E_INVALID, "x is", "align", "2");
  LINEAR(y = output + 2, WEIR_E_INVALID, "y is", "align", "4");
  LINEAR(act = output + 1, WEIR_E_INVALID, "act is", "align");
  LINEAR(x = output, WEIR_E_INVALID, "overlap", "weir_quantize");
  LINEAR(x = output + Y_BYTES - 2, WEIR_E_INVALID, "overlap");
  LINEAR(y = input + X_BYTES - 4, WEIR_E_INVALID, "overlap");
  LINEAR(act_size--, WEIR_E_WORKSPACE, "act", size, less);
  LINEAR(act_size = 0, WEIR_E_WORKSPACE, "act", size, "0");
  ASSERT_FAILS(weir_linear(NULL, &linear, NULL), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_linear(matvec_plan, NULL, NULL), WEIR_E_NULL, "args");
  ASSERT_FAILS(weir_linear(sdpa_plan, &linear, NULL), WEIR_E_INVALID, "weir_linear", "sdpa", "matvec");
  assert_untouched();
}
END_TEST

START_TEST(test_linear_takes_x_next_to_y) {
  linear.x = output + Y_BYTES;
  ASSERT_OK(call_linear());
  linear.x = output;
  linear.y = output + X_BYTES;
  ASSERT_OK(call_linear());
}
END_TEST

/* ---- matvec and linear, as the plan is ---------------------------------- */

START_TEST(test_matvec_refuses_what_does_not_fit_the_plan) {
  MATVEC(packed = input + 64, WEIR_E_INVALID, "packed", "align", "256");
  MATVEC(act = room + 128, WEIR_E_INVALID, "act", "align", "256");
  MATVEC(workspace = room + 64, WEIR_E_INVALID, "workspace", "align", "256");
  MATVEC(workspace = NULL, WEIR_E_NULL, "workspace");
  MATVEC(workspace_size = 1999, WEIR_E_WORKSPACE, "1999", "2000");
  MATVEC(workspace_size = 0, WEIR_E_WORKSPACE, "0", "2000");
  QUANTIZE(act = output + 64, WEIR_E_INVALID, "act", "align", "256");
  LINEAR(packed = input + 64, WEIR_E_INVALID, "packed", "align", "256");
  LINEAR(act = output + ROOM / 2 + 128, WEIR_E_INVALID, "act", "align", "256");
  LINEAR(workspace = room + 64, WEIR_E_INVALID, "workspace", "align", "256");
  LINEAR(workspace = NULL, WEIR_E_NULL, "workspace");
  LINEAR(workspace_size = 1999, WEIR_E_WORKSPACE, "workspace", "1999", "2000");
  LINEAR(workspace_size = 0, WEIR_E_WORKSPACE, "workspace", "0", "2000");
  ASSERT_OK(call_linear());
  ASSERT_OK(call_matvec());
}
END_TEST

START_TEST(test_absent_pointers_that_the_descriptor_asks_for) {
  MATVEC(bias = NULL, WEIR_E_NULL, "bias");
  MATVEC(bias = input + 2, WEIR_E_INVALID, "bias", "align");
  LINEAR(bias = NULL, WEIR_E_NULL, "bias");
  LINEAR(bias = input + 2, WEIR_E_INVALID, "bias", "align");
  PACK(zeros = NULL, WEIR_E_NULL, "zeros");
  SDPA(mask = NULL, WEIR_E_NULL, "mask");
  SDPA(mask = input + 2, WEIR_E_INVALID, "mask", "align");
  SDPA(kv_len_device = NULL, WEIR_E_NULL, "kv_len_device");
  ASSERT_OK(call_sdpa());
}
END_TEST

/* ---- sdpa --------------------------------------------------------------- */

START_TEST(test_sdpa_refuses) {
  SDPA(struct_size = 0, WEIR_E_ABI, "struct_size", "weir_sdpa_args");
  SDPA(flags = 1, WEIR_E_FLAGS, "0x1|1");
  SDPA(q_len = 0, WEIR_E_SHAPE, "q_len", "0", "3");
  SDPA(q_len = 4, WEIR_E_SHAPE, "q_len", "4", "3");
  SDPA(kv_len = 11, WEIR_E_SHAPE, "kv_len", "11", "10");
  SDPA(kv_len = UINT32_MAX, WEIR_E_SHAPE, "kv_len", "4294967295", "10");
  SDPA(q = NULL, WEIR_E_NULL, "q");
  SDPA(k = NULL, WEIR_E_NULL, "k");
  SDPA(v = NULL, WEIR_E_NULL, "v");
  SDPA(o = NULL, WEIR_E_NULL, "o");
  SDPA(mask = input, WEIR_E_INVALID, "mask");
  SDPA(q = input + 1, WEIR_E_INVALID, "q", "align");
  SDPA(k = input + 1, WEIR_E_INVALID, "k", "align");
  SDPA(v = input + 1, WEIR_E_INVALID, "v", "align");
  SDPA(o = output + 1, WEIR_E_INVALID, "o", "align");
  ASSERT_FAILS(weir_sdpa(NULL, &sdpa, NULL), WEIR_E_NULL, "plan");
  ASSERT_FAILS(weir_sdpa(sdpa_plan, NULL, NULL), WEIR_E_NULL, "args");
  ASSERT_FAILS(weir_sdpa(matvec_plan, &sdpa, NULL), WEIR_E_INVALID, "sdpa", "matvec");
  assert_untouched();
}
END_TEST

/* Nothing to attend gives exactly 0, and writes nothing else. */
START_TEST(test_sdpa_of_no_slots_is_zero) {
  memset(input, 0x7f, ROOM);
  sdpa.kv_len = 0;
  ASSERT_OK(call_sdpa());
  const uint16_t *o = (const uint16_t *)output;
  for (int b = 0; b < 2; b++) {
    for (int h = 0; h < 4; h++) {
      for (int i = 0; i < 48; i++) {
        uint16_t want = i < 32 ? 0 : POISON << 8 | POISON;
        ck_assert_uint_eq(o[b * 192 + h * 48 + i], want);
      }
    }
  }
}
END_TEST

/* On the CPU a stream is always null. */
START_TEST(test_stream_on_the_cpu_is_refused) {
  weir_stream stream = &runtime;
  refuses(weir_quantize(matvec_plan, &quantize, stream), WEIR_E_INVALID, "weir_quantize", __LINE__,
          (const char *const[]){"stream", NULL});
  refuses(weir_matvec(matvec_plan, &matvec, stream), WEIR_E_INVALID, "weir_matvec", __LINE__,
          (const char *const[]){"stream", NULL});
  refuses(weir_linear(matvec_plan, &linear, stream), WEIR_E_INVALID, "weir_linear", __LINE__,
          (const char *const[]){"stream", NULL});
  refuses(weir_sdpa(sdpa_plan, &sdpa, stream), WEIR_E_INVALID, "weir_sdpa", __LINE__,
          (const char *const[]){"stream", NULL});
}
END_TEST

int main(void) {
  Suite *suite = suite_create("enqueue");
  TCase *plain = tcase_create("plain");
  tcase_add_checked_fixture(plain, open_plain, close_plans);
  tcase_add_test(plain, test_untouched_arguments_work);
  tcase_add_test(plain, test_longer_arguments_with_a_zero_tail_work);
  tcase_add_test(plain, test_pack_refuses);
  tcase_add_test(plain, test_pack_in_pieces);
  tcase_add_test(plain, test_quantize_refuses);
  tcase_add_test(plain, test_matvec_refuses);
  tcase_add_test(plain, test_linear_refuses);
  tcase_add_test(plain, test_linear_takes_x_next_to_y);
  tcase_add_test(plain, test_sdpa_refuses);
  tcase_add_test(plain, test_sdpa_of_no_slots_is_zero);
  tcase_add_test(plain, test_stream_on_the_cpu_is_refused);
  suite_add_tcase(suite, plain);
  TCase *full = tcase_create("full");
  tcase_add_checked_fixture(full, open_full, close_plans);
  tcase_add_test(full, test_untouched_arguments_work);
  tcase_add_test(full, test_absent_pointers_that_the_descriptor_asks_for);
  suite_add_tcase(suite, full);
  TCase *roomy = tcase_create("roomy");
  tcase_add_checked_fixture(roomy, open_roomy, close_plans);
  tcase_add_test(roomy, test_matvec_refuses_what_does_not_fit_the_plan);
  suite_add_tcase(suite, roomy);
  return run_suite(suite);
}

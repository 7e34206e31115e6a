/* SPDX-License-Identifier: MIT */

/* The conformance suite against damage and defects that only show in a captured graph,
 * on the stand-in driver. */

#include "../tools/conform_case.h"
#include "stand_in.h"
#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INT4 "int4/group32/n64-k352-m5/zero-none/scale-bf16-ng/x-bf16-y-bf16/ordinary"
#define INT8 "int8/group32/n64-k352-m5/zero-none/scale-bf16-ng/x-bf16-y-bf16/ordinary"
#define SDPA "sdpa/d128/h4x1-q1-kv129/bf16-bf16-bf16/ordinary"
#define SDPA_DEVICE "sdpa/d128/h4x2-q1-kv0,1,300of300-device-b3/bf16-bf16-bf16/ordinary"
#define SDPA_WHOLE "sdpa/d128/h4x2-q1-kv300of300-device/bf16-bf16-bf16/ordinary"

/* One case, on the stand-in driver. */
static void run_one(struct conform_options options, struct conform_summary *out_summary, struct witness *out_witness) {
  setenv("WEIR_CUDA_LIBRARY", fake("libcuda.so.1"), 1);
  setenv("WEIR_PTX_PATH", getenv("WEIR_TEST_PTX"), 1);
  options.device = "cuda:0";
  options.seed = 1;
  *out_witness = (struct witness){0};
  ck_assert_msg(conform_run(&options, remember, out_witness, out_summary) == 0, "%s", out_summary->error);
  ck_assert_uint_eq(out_witness->count, 1);
  clear_environment();
}

/* ---- Damage -------------------------------------------------------------- */

static const struct {
  enum conform_tamper tamper;
  const char *plugin, *twin;
  const char *name, *check, *words;
} replays[] = {
    {CONFORM_TAMPER_CAPTURE, "cuda-sdpa-split", NULL, SDPA, "input", "o: byte 0"},
    {CONFORM_TAMPER_CAPTURE, "cuda-sdpa-standard", NULL, SDPA_DEVICE, "input", "o: byte 0"},
    {CONFORM_TAMPER_CAPTURE, "cuda-dp4a", NULL, INT4, "graph", "while the call was captured"},
    {CONFORM_TAMPER_REPLAY, "cuda-sdpa-split", NULL, SDPA_DEVICE, "graph", "the replay had kv_len -1"},
    {CONFORM_TAMPER_REPLAY, "cuda-sdpa-standard", NULL, SDPA_DEVICE, "graph", "the replay had kv_len -1"},
    {CONFORM_TAMPER_REPLAY, "cuda-dp4a", NULL, INT8, "graph", "the replay had only NaN in x"},
    {CONFORM_TAMPER_LENGTH, "cuda-sdpa-split", NULL, SDPA_DEVICE, "length", "after kv_len changed"},
    {CONFORM_TAMPER_OUTPUT, "cuda-sdpa-split", NULL, SDPA, "oracle", "o[3,127]"},
    {CONFORM_TAMPER_OUTPUT, "cuda-sdpa-standard", NULL, SDPA, "oracle", "o[3,127]"},
    {CONFORM_TAMPER_REFUSE, "cuda-sdpa-split", NULL, SDPA, "unsupported", "refused for the test"},
    {CONFORM_TAMPER_REFUSE, "cuda-sdpa-standard", NULL, SDPA, "unsupported", "refused for the test"},
    {CONFORM_TAMPER_BITS, "cuda-dp4a", "cuda-dp4a-scalar", INT4, "bit-identical", "y of cuda-dp4a-scalar[0,0]"},
};

START_TEST(test_damage_to_a_replay_is_found) {
  for (int tampered = 0; tampered < 2; ++tampered) {
    struct conform_options options = {.plugin = replays[_i].plugin,
                                      .plugin_path = plugin_directory(),
                                      .filter = replays[_i].name,
                                      .bit_identical = replays[_i].twin,
                                      .graph = 1,
                                      .tamper = tampered ? replays[_i].tamper : CONFORM_TAMPER_NONE};
    struct conform_summary summary;
    struct witness witness;
    run_one(options, &summary, &witness);
    if (!tampered) {
      ck_assert_msg(conform_passed(&summary), "%s: %s", witness.check, witness.detail);
      continue;
    }
    ck_assert_int_eq(witness.status, CONFORM_FAIL);
    ck_assert_str_eq(witness.check, replays[_i].check);
    ASSERT_NAMES(witness.detail, replays[_i].words);
  }
}
END_TEST

START_TEST(test_every_damage_to_a_replay_is_tried) {
  for (int tamper = CONFORM_TAMPER_BITS; tamper <= CONFORM_TAMPER_REPLAY; ++tamper) {
    size_t i = 0;
    while (i < COUNT_OF(replays) && replays[i].tamper != (enum conform_tamper)tamper) {
      ++i;
    }
    ck_assert_msg(i < COUNT_OF(replays), "no test for damage %d", tamper);
  }
}
END_TEST

/* ---- A defect -------------------------------------------------------------- */

/* A length that is not read from the device: that of the buffer shows at once, the one
 * that was there at the capture only in a replay with another. */
static const struct {
  const char *plugin, *module, *name;
  int graph;
  const char *check, *words; /* null: it must pass */
} lengths[] = {
    {"kv-len-ignored", "kv_len_ignored", SDPA_WHOLE, 0, "length", "after kv_len changed"},
    {"kv-len-ignored", "kv_len_ignored", SDPA_WHOLE, 1, "graph", "the replay had kv_len -1"},
    {"kv-len-ignored", "kv_len_ignored", SDPA, 1, NULL, NULL},
    {"kv-len-captured", "kv_len_captured", SDPA_WHOLE, 0, NULL, NULL},
    {"kv-len-captured", "kv_len_captured", SDPA_WHOLE, 1, "oracle", "o[0,0]: got 0"},
    {"kv-len-captured", "kv_len_captured", SDPA, 1, NULL, NULL},
};

START_TEST(test_a_length_that_is_not_read_is_found) {
  struct conform_options options = {.plugin = lengths[_i].plugin,
                                    .plugin_path = PLUGIN_PATH(plugin_directory(), bad_plugin(lengths[_i].module)),
                                    .filter = lengths[_i].name,
                                    .graph = lengths[_i].graph};
  struct conform_summary summary;
  struct witness witness;
  run_one(options, &summary, &witness);
  if (lengths[_i].check) {
    ck_assert_int_eq(witness.status, CONFORM_FAIL);
    ck_assert_str_eq(witness.check, lengths[_i].check);
    ASSERT_NAMES(witness.detail, lengths[_i].words);
  } else {
    ck_assert_msg(conform_passed(&summary), "%s: %s", witness.check, witness.detail);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("replay");
  TCase *replay = tcase_create("replays");
  clear_environment();
  tcase_set_timeout(replay, 60);
  tcase_add_loop_test(replay, test_damage_to_a_replay_is_found, 0, COUNT_OF(replays));
  tcase_add_test(replay, test_every_damage_to_a_replay_is_tried);
  tcase_add_loop_test(replay, test_a_length_that_is_not_read_is_found, 0, COUNT_OF(lengths));
  suite_add_tcase(suite, replay);
  return run_suite(suite);
}

/* SPDX-License-Identifier: MIT */

/* Attention on the stand-in driver: driver calls that fail, and lengths that change
 * under a captured graph. What it computes, weir verify proves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stand_in.h"

/* An attention with an exact answer: scores of neighbouring slots are 256 apart, so one
 * slot takes all. For even heads that is the last one attended, for odd ones the first.
 * V holds integers, and K and V NaN from slot FILLED on. */
enum { BATCH = 2, HEADS = 4, KV_HEADS = 2, QUERIES = 2, D = 64, CAPACITY = 200, FILLED = 180 };
enum { ROWS = BATCH * HEADS * QUERIES, KV_COUNT = BATCH * KV_HEADS * CAPACITY * D };

static uint16_t q[ROWS * D], k[KV_COUNT], v[KV_COUNT];

static const weir_sdpa_desc desc = {.struct_size = sizeof desc,
                                    .op = WEIR_OP_SDPA,
                                    .flags = WEIR_SDPA_CAUSAL | WEIR_SDPA_KV_LEN,
                                    .batch = BATCH,
                                    .q_heads = HEADS,
                                    .kv_heads = KV_HEADS,
                                    .head_dim = D,
                                    .q_len_max = QUERIES,
                                    .kv_capacity = CAPACITY,
                                    .q_type = WEIR_BF16,
                                    .kv_type = WEIR_BF16,
                                    .o_type = WEIR_F32,
                                    .scale = 256};

static void make_values(void) {
  srand(11);
  memset(q, 0, sizeof q);
  for (int row = 0; row < ROWS; row++) q[row * D] = bf16(row / QUERIES % 2 ? -1 : 1);
  for (int i = 0; i < KV_COUNT; i++) {
    int slot = i / D % CAPACITY;
    k[i] = slot >= FILLED ? 0x7fff : bf16(i % D ? (float)(rand() % 15 - 7) : (float)slot);
    v[i] = slot >= FILLED ? 0x7fff : bf16((float)(rand() % 255 - 127));
  }
}

static float value(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float result;
  memcpy(&result, &wide, sizeof result);
  return result;
}

/* The first element of o that is not what these lengths give; -1: none is. */
static int wrong_at(const float *o, const int32_t *lengths) {
  for (int i = 0; i < ROWS * D; i++) {
    int row = i / D, batch = row / QUERIES / HEADS, head = row / QUERIES % HEADS;
    int last = lengths[batch] - QUERIES + row % QUERIES, slot = head % 2 ? 0 : last;
    int kv_head = batch * KV_HEADS + head / (HEADS / KV_HEADS);
    float want = last < 0 ? 0 : value(v[(kv_head * CAPACITY + slot) * D + i % D]);
    if (!(o[i] == want)) return i;
  }
  return -1;
}

struct on_device {
  void *q, *k, *v, *o, *lengths, *workspace;
  uint64_t workspace_size;
};

static void release(weir_device *device, struct on_device *m) {
  void *all[] = {m->q, m->k, m->v, m->o, m->lengths, m->workspace};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) weir_memory_free(device, all[i]);
}

static weir_status place(weir_device *device, const weir_plan *plan, weir_stream stream, struct on_device *out) {
  memset(out, 0, sizeof *out);
  out->workspace_size = weir_workspace_size(plan, QUERIES);
  weir_status status = weir_memory_alloc(device, sizeof q, &out->q);
  if (!status) status = weir_memory_alloc(device, sizeof k, &out->k);
  if (!status) status = weir_memory_alloc(device, sizeof v, &out->v);
  if (!status) status = weir_memory_alloc(device, ROWS * D * sizeof(float), &out->o);
  if (!status) status = weir_memory_alloc(device, BATCH * sizeof(int32_t), &out->lengths);
  if (!status) status = weir_memory_alloc(device, out->workspace_size, &out->workspace);
  if (!status) status = weir_memory_upload(device, out->q, q, sizeof q, stream);
  if (!status) status = weir_memory_upload(device, out->k, k, sizeof k, stream);
  if (!status) status = weir_memory_upload(device, out->v, v, sizeof v, stream);
  if (!status) status = weir_memory_fill(device, out->workspace, 0, out->workspace_size, stream);
  return status;
}

static weir_status enqueue(const weir_plan *plan, const struct on_device *m, weir_stream stream) {
  weir_sdpa_args args = {.struct_size = sizeof args,
                         .q_len = QUERIES,
                         .q = m->q,
                         .k = m->k,
                         .v = m->v,
                         .o = m->o,
                         .q_stride = {HEADS * QUERIES * D, QUERIES * D, D},
                         .k_stride = {KV_HEADS * CAPACITY * D, CAPACITY * D, D},
                         .v_stride = {KV_HEADS * CAPACITY * D, CAPACITY * D, D},
                         .o_stride = {HEADS * QUERIES * D, QUERIES * D, D},
                         .kv_len_device = m->lengths,
                         .workspace = m->workspace_size ? m->workspace : NULL,
                         .workspace_size = m->workspace_size};
  return weir_sdpa(plan, &args, stream);
}

static weir_status set_lengths(weir_device *device, const struct on_device *m, const int32_t *lengths,
                               weir_stream stream) {
  weir_status status = weir_memory_upload(device, m->lengths, lengths, BATCH * sizeof *lengths, stream);
  return status ? status : weir_memory_fill(device, m->o, 0xff, ROWS * D * sizeof(float), stream);
}

static weir_status fetch(weir_device *device, const struct on_device *m, float *out_o, weir_stream stream) {
  weir_status status = weir_memory_download(device, out_o, m->o, ROWS * D * sizeof(float), stream);
  return status ? status : weir_synchronize(device, stream);
}

static weir_runtime *open_with(const char *plugin) {
  char selection[64];
  snprintf(selection, sizeof selection, "sdpa=%s", plugin);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  ASSERT_OK(weir_select(runtime, selection));
  return runtime;
}

static const struct {
  const char *plugin, *last_kernel;
} plugins[] = {
    {"cuda-sdpa-split", "sdpa_merge"},
    {"cuda-sdpa-standard", "sdpa_bf16_d64_r16"},
};
enum { PLUGINS = sizeof plugins / sizeof plugins[0] };

/* ---- Faults ------------------------------------------------------------- */

static weir_status everything(weir_runtime *runtime, const void *unused, bool *out_solved) {
  (void)unused;
  static const int32_t lengths[BATCH] = {FILLED, 70};
  static float o[ROWS * D];
  struct on_device memory = {0};
  weir_device *device = NULL;
  weir_plan *plan = NULL;
  memset(o, 0xff, sizeof o);
  weir_status status = weir_device_open(runtime, "cuda:0", &device);
  if (!status) status = weir_plan_sdpa(device, &desc, &plan);
  if (!status) status = place(device, plan, NULL, &memory);
  if (!status) status = set_lengths(device, &memory, lengths, NULL);
  if (!status) status = enqueue(plan, &memory, NULL);
  if (!status) status = fetch(device, &memory, o, NULL);
  *out_solved = !status && wrong_at(o, lengths) < 0;
  release(device, &memory);
  weir_plan_free(plan);
  weir_device_close(device);
  return status;
}

START_TEST(test_every_driver_call_may_fail) {
  machine("sm=90,sms=8", NULL);
  make_values();
  bool solved = false;
  struct fakecuda_launch last;
  weir_runtime *runtime = open_with(plugins[_i].plugin);
  ASSERT_OK(everything(runtime, NULL, &solved));
  ck_assert(solved);
  CONTROL(fakecuda_last_launch)(&last);
  ck_assert_str_eq(last.name, plugins[_i].last_kernel);
  assert_every_driver_call_may_fail(runtime, everything, NULL, 20);
  weir_close(runtime);
}
END_TEST

/* ---- Graphs ------------------------------------------------------------- */

/* Enqueuing only launches, and the graph reads what is on the device when it runs. */
START_TEST(test_a_captured_graph_reads_new_lengths) {
  static const char *const forbidden[] = {"cuMemAlloc_v2",       "cuMemFree_v2",          "cuModuleLoadDataEx",
                                          "cuStreamSynchronize", "cuModuleGetFunction",   "cuFuncSetAttribute",
                                          "cuMemHostAlloc",      "cuMemcpyHtoDAsync_v2", "cuMemsetD8Async"};
  enum { FORBIDDEN = sizeof forbidden / sizeof forbidden[0] };
  static const int32_t rounds[][BATCH] = {{70, FILLED}, {1, 33}, {0, 1}, {-7, 64}, {FILLED, 2}, {129, 128}};
  static float o[ROWS * D];
  machine("sm=90,sms=8", NULL);
  make_values();
  weir_runtime *runtime = open_with(plugins[_i].plugin);
  weir_device *device = open_device(runtime, "cuda:0");
  weir_plan *plan = NULL;
  weir_sdpa_info info = {.struct_size = sizeof info};
  struct on_device memory;
  weir_stream stream = NULL;
  weir_graph *graph = NULL;
  uint64_t before[FORBIDDEN];
  ASSERT_OK(weir_plan_sdpa(device, &desc, &plan));
  ck_assert_str_eq(weir_plan_plugin(plan), plugins[_i].plugin);
  ASSERT_OK(weir_sdpa_get(plan, &info));
  ck_assert(info.properties & WEIR_GRAPH_SAFE);
  ASSERT_OK(weir_stream_create(device, &stream));
  ASSERT_OK(place(device, plan, stream, &memory));
  for (int i = 0; i < FORBIDDEN; i++) before[i] = CONTROL(fakecuda_calls)(forbidden[i]);
  ASSERT_OK(weir_capture_begin(device, stream));
  ASSERT_OK(enqueue(plan, &memory, stream));
  for (int i = 0; i < FORBIDDEN; i++) {
    ck_assert_msg(CONTROL(fakecuda_calls)(forbidden[i]) == before[i], "%s is called under capture", forbidden[i]);
  }
  ASSERT_OK(weir_capture_end(device, stream, &graph));
  for (size_t r = 0; r < sizeof rounds / sizeof rounds[0]; r++) {
    ASSERT_OK(set_lengths(device, &memory, rounds[r], stream));
    ASSERT_OK(weir_graph_launch(graph, stream));
    ASSERT_OK(fetch(device, &memory, o, stream));
    int at = wrong_at(o, rounds[r]);
    ck_assert_msg(at < 0, "lengths %d and %d: o[%d] is %g", rounds[r][0], rounds[r][1], at, o[at < 0 ? 0 : at]);
  }
  weir_graph_destroy(graph);
  weir_stream_destroy(device, stream);
  release(device, &memory);
  weir_plan_free(plan);
  weir_device_close(device);
  weir_close(runtime);
  assert_nothing_lives("a graph of attention");
}
END_TEST

/* ---- Routing ------------------------------------------------------------ */

/* Which plugin a plan on an H100 would use. The reference system's own cases (L_kv 128
 * and 256, split from 256 on; 4096; 8192 slots of 96 dimensions, where it has no split)
 * with what was measured here: splits pay from slots * dimensions = 32768 on. */
static const struct route {
  const char *name;
  uint32_t q_heads, kv_heads, head_dim, queries, slots, hint;
  const char *plugin;
} routes[] = {
    {"short decode, 128 slots", 32, 16, 128, 1, 128, 0, "cuda-sdpa-standard"},
    {"one slot below the crossover", 32, 16, 128, 1, 255, 0, "cuda-sdpa-standard"},
    {"the crossover itself, 256 slots", 32, 16, 128, 1, 256, 0, "cuda-sdpa-split"},
    {"long decode, 4096 slots", 32, 16, 128, 1, 4096, 0, "cuda-sdpa-split"},
    {"96 dimensions, 8192 slots", 32, 16, 96, 1, 8192, 0, "cuda-sdpa-split"},
    {"gemma sliding, 127 slots", 32, 16, 256, 1, 127, 0, "cuda-sdpa-standard"},
    {"gemma sliding, 128 slots", 32, 16, 256, 1, 128, 0, "cuda-sdpa-split"},
    {"gemma full, 63 slots", 32, 4, 512, 1, 63, 0, "cuda-sdpa-standard"},
    {"gemma full, 64 slots", 32, 4, 512, 1, 64, 0, "cuda-sdpa-split"},
    {"four queries to verify", 16, 2, 256, 4, 8192, 0, "cuda-sdpa-split"},
    {"a long buffer, usually short", 32, 16, 128, 1, 131072, 100, "cuda-sdpa-standard"},
    {"prefill", 32, 16, 256, 2048, 2048, 0, "cuda-sdpa-standard"},
    {"more KV heads than multiprocessors", 1024, 1024, 128, 1, 4096, 0, "cuda-sdpa-standard"},
};
enum { ROUTES = sizeof routes / sizeof routes[0] };

START_TEST(test_short_calls_go_to_standard_and_long_ones_to_split) {
  const struct route *route = &routes[_i];
  weir_candidate found[16];
  uint32_t count = 0;
  weir_sdpa_desc asked = {.struct_size = sizeof asked,
                          .op = WEIR_OP_SDPA,
                          .batch = 1,
                          .q_heads = route->q_heads,
                          .kv_heads = route->kv_heads,
                          .head_dim = route->head_dim,
                          .q_len_max = route->queries,
                          .kv_capacity = route->slots,
                          .kv_len_hint = route->hint,
                          .q_type = WEIR_BF16,
                          .kv_type = WEIR_BF16,
                          .o_type = WEIR_BF16,
                          .scale = 1};
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  weir_device *device = open_device(runtime, "cuda:sm=90,sms=132,l2=50M,smem=227K");
  for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) found[i].struct_size = sizeof found[i];
  ASSERT_OK(weir_explain_sdpa(device, &asked, found, sizeof found / sizeof found[0], &count));
  ck_assert_uint_gt(count, 1);
  ck_assert_int_eq((int)found[0].state, WEIR_CANDIDATE_CHOSEN);
  ck_assert_msg(strcmp(found[0].plugin, route->plugin) == 0, "%s: %s was chosen: %s", route->name, found[0].plugin,
                found[0].reason);
  for (uint32_t i = 0; i < count; i++) ck_assert_msg(found[i].reason[0], "%s gives no reason", found[i].plugin);
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("cuda sdpa");
  TCase *faults = tcase_create("faults"), *graphs = tcase_create("graphs"), *routing = tcase_create("routing");
  tcase_set_timeout(faults, 120);
  tcase_add_loop_test(faults, test_every_driver_call_may_fail, 0, PLUGINS);
  suite_add_tcase(suite, faults);
  tcase_set_timeout(graphs, 60);
  tcase_add_loop_test(graphs, test_a_captured_graph_reads_new_lengths, 0, PLUGINS);
  suite_add_tcase(suite, graphs);
  tcase_add_loop_test(routing, test_short_calls_go_to_standard_and_long_ones_to_split, 0, ROUTES);
  suite_add_tcase(suite, routing);
  return run_suite(suite);
}

/* SPDX-License-Identifier: MIT */

/* How a Gemma step chooses its token (sampling.h), on the stand-in driver and on the CPU;
 * and the CUDA operations as a whole: graphs, refusals, faults. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../examples/gemma/sampling.h"
#include "gemma_target.h"

enum { VOCABULARY = 10007, CONTEXT = 64 };

/* The token that the logits give when the new token's position is `next`. */
static int32_t choose(target *t, const float *logits, uint32_t vocabulary, float softcap, gemma_sampling sampling, uint32_t rows,
                      int32_t next, float *out_logits) {
  gemma_state state = {.position = next - (int32_t)rows, .kv_len_full = 5, .kv_len_ring = 6, .reserved = 7};
  int32_t tokens[CONTEXT];
  memset(tokens, 0xff, sizeof tokens);
  void *device_logits = target_put(t, logits, 4 * (size_t)vocabulary), *device_state = target_put(t, &state, sizeof state);
  void *device_tokens = target_put(t, tokens, sizeof tokens);
  ASSERT_OK(t->ops->sample(t->ops, rows, vocabulary, softcap, &sampling, device_logits, device_tokens, device_state, NULL));
  target_take(t, device_logits, 4 * (size_t)vocabulary, out_logits);
  target_take(t, device_state, sizeof state, &state);
  target_take(t, device_tokens, sizeof tokens, tokens);
  ck_assert_int_eq(state.position, next);
  ck_assert(state.kv_len_full == 5 && state.kv_len_ring == 6 && state.reserved == 7);
  for (int i = 0; i < CONTEXT; i++) ck_assert_msg(i == next || tokens[i] == -1, "token %d was written", i);
  return tokens[next];
}

static int32_t greedy(target *t, const float *logits, uint32_t vocabulary) {
  return choose(t, logits, vocabulary, 0, (gemma_sampling){.top_p = 1}, 1, 9, NULL);
}

/* ---- Greedy ------------------------------------------------------------- */

START_TEST(test_greedy) {
  target t;
  target_open(&t, _i, 8, VOCABULARY);
  static float logits[VOCABULARY];
  static const uint32_t sizes[] = {1, 3, 4, 31, 1023, 1024, 1025, 4096, VOCABULARY};
  for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
    uint32_t n = sizes[s];
    for (uint32_t i = 0; i < n; i++) logits[i] = random_value() - 3;
    uint32_t first = (uint32_t)rand() % n;
    for (uint32_t i = first; i < n; i += 5) logits[i] = -1.5f; /* the greatest, several times */
    ck_assert_int_eq(greedy(&t, logits, n), (int)first);
    logits[n - 1] = 4;
    ck_assert_int_eq(greedy(&t, logits, n), (int)n - 1);
    if (n > 2) logits[n / 2] = NAN; /* never chosen */
    ck_assert_int_eq(greedy(&t, logits, n), (int)n - 1);
    for (uint32_t i = 0; i < n; i++) logits[i] = i < n / 2 ? NAN : -INFINITY;
    ck_assert_int_eq(greedy(&t, logits, n), (int)(n / 2));
    for (uint32_t i = 0; i < n; i++) logits[i] = i == n / 3 ? 0.0f : -0.0f; /* equal */
    ck_assert_int_eq(greedy(&t, logits, n), 0);
    logits[n - 1] = INFINITY;
    ck_assert_int_eq(greedy(&t, logits, n), (int)n - 1);
    for (uint32_t i = 0; i < n; i++) logits[i] = NAN;
    ck_assert_int_eq(greedy(&t, logits, n), 0);
  }
  target_close(&t);
}
END_TEST

START_TEST(test_softcap) {
  target t;
  target_open(&t, _i, 8, VOCABULARY);
  static float logits[VOCABULARY], got[VOCABULARY];
  static const float special[] = {0, 1e-6f, -3.7f, 3.76f, -90, 1e20f, -INFINITY, NAN, -0.0f};
  random_values(logits, VOCABULARY, 60);
  memcpy(logits, special, sizeof special);
  logits[4099] = INFINITY;
  uint32_t most = 5; /* both come to the cap */
  ck_assert_int_eq(choose(&t, logits, VOCABULARY, 30, (gemma_sampling){.top_p = 1}, 3, 40, got), (int)most);
  for (uint32_t i = 0; i < VOCABULARY; i++) ASSERT_NEAR(got[i], 30 * tanh((double)logits[i] / 30), false, 1e-5, i);
  choose(&t, logits, VOCABULARY, 0, (gemma_sampling){.top_p = 1}, 1, 4, got);
  ck_assert(memcmp(got, logits, sizeof got) == 0);
  target_close(&t);
}
END_TEST

/* ---- Sampling ----------------------------------------------------------- */

/* The rule again, with nothing clever: every weight, sorted. */
static int compare_descending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* The probability that a token is chosen, from exact exponentials. */
static void probabilities(const float *logits, uint32_t n, double temperature, double top_p, double *out) {
  double most = -INFINITY, total = 0, kept = 0, least = 0, sum = 0;
  static uint64_t sorted[VOCABULARY];
  for (uint32_t i = 0; i < n; i++) most = fmax(most, (double)logits[i]);
  for (uint32_t i = 0; i < n; i++) {
    out[i] = isnan(logits[i]) ? 0 : exp(((double)logits[i] - most) / temperature);
    total += out[i];
    memcpy(&sorted[i], &out[i], sizeof out[i]); /* positive numbers are in the order of their bits */
  }
  qsort(sorted, n, sizeof sorted[0], compare_descending);
  for (uint32_t i = 0; i < n && sum < top_p * total * (1 - 1e-9); i++) {
    memcpy(&least, &sorted[i], sizeof least);
    sum += least;
  }
  for (uint32_t i = 0; i < n; i++) kept += out[i] = out[i] >= least * (1 - 1e-9) ? out[i] : 0;
  for (uint32_t i = 0; i < n; i++) out[i] /= kept;
}

START_TEST(test_choices_have_their_probabilities) {
  enum { N = 40, DRAWS = 20000 };
  static const struct {
    float temperature, top_p;
  } settings[] = {{1, 1}, {0.7f, 0.9f}, {2, 0.5f}, {1.3f, 0.99f}, {0.01f, 1}, {1, 1e-6f}};
  float logits[N];
  double probability[N];
  for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
    unsigned count[N] = {0};
    srand(3);
    random_values(logits, N, 4);
    logits[7] = logits[8] = logits[9];
    logits[11] = NAN;
    logits[12] = -INFINITY;
    gemma_sampling sampling = {.temperature = settings[s].temperature, .top_p = settings[s].top_p, .seed = 99};
    probabilities(logits, N, (double)sampling.temperature, (double)sampling.top_p, probability);
    for (uint32_t i = 0; i < DRAWS; i++) {
      int32_t token = -1;
      ASSERT_OK(gemma_choose(&sampling, logits, N, i, &token));
      ck_assert_int_ge(token, 0);
      count[token]++;
    }
    for (int i = 0; i < N; i++) {
      double expected = DRAWS * probability[i];
      ck_assert_msg(fabs(count[i] - expected) <= 5 * sqrt(expected) + 2 * (expected > 0), "setting %u: token %d came %u times, not %.1f", (unsigned)s, i,
                    count[i], expected);
    }
  }
}
END_TEST

START_TEST(test_every_device_chooses_alike) {
  target t;
  target_open(&t, _i, 8, VOCABULARY);
  static float logits[VOCABULARY];
  static const struct {
    float temperature, top_p, spread;
    uint32_t vocabulary;
  } settings[] = {{1, 1, 5, 100},       {1, 0.95f, 5, 100},       {0.8f, 0.9f, 12, VOCABULARY}, {5, 0.5f, 3, VOCABULARY},
                  {0.05f, 0.99f, 9, 4096}, {1, 0.7f, 0, 5001}, {1, 1e-9f, 6, 1025},        {100, 0.999f, 30, VOCABULARY},
                  {1, 0.3f, 5, 1},       {1e-6f, 0.9f, 5, 37},      {1, 0.9f, 200, 3000}};
  for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
    uint32_t n = settings[s].vocabulary;
    random_values(logits, n, settings[s].spread);
    for (uint32_t i = 0; i < n / 10; i++) logits[(uint32_t)rand() % n] = i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : logits[i];
    for (int32_t next = 1; next < 14; next += 4) {
      gemma_sampling sampling = {settings[s].temperature, settings[s].top_p, 0x9876543210u + s};
      int32_t want = -1;
      ASSERT_OK(gemma_choose(&sampling, logits, n, (uint32_t)next, &want));
      int32_t got = choose(&t, logits, n, 0, sampling, 1, next, NULL);
      ck_assert_msg(got == want, "setting %u, position %d: %d, not %d", (unsigned)s, next, got, want);
    }
  }
  /* Weights 1, 1, 1/2, 1/2, 1/2, 1/2: the first two have top_p to the last bit. */
  static const float halves[] = {0, 0, -1, -1, -1, -1};
  bool is_seen[2] = {false};
  for (int32_t next = 1; next < 20; next++) {
    gemma_sampling half = {1.44269504f, 0.5f, 8};
    int32_t got = choose(&t, halves, 6, 0, half, 1, next, NULL);
    ck_assert_int_lt(got, 2);
    is_seen[got] = true;
  }
  ck_assert(is_seen[0] && is_seen[1]);
  for (uint32_t i = 0; i < VOCABULARY; i++) logits[i] = i % 2 ? NAN : -INFINITY;
  gemma_sampling sampling = {1, 0.9f, 1};
  ck_assert_int_eq(choose(&t, logits, VOCABULARY, 0, sampling, 1, 3, NULL) % 2, 0);
  for (uint32_t i = 0; i < VOCABULARY; i++) logits[i] = NAN;
  ck_assert_int_eq(choose(&t, logits, VOCABULARY, 0, sampling, 1, 3, NULL), 0);
  logits[4242] = 1;
  ck_assert_int_eq(choose(&t, logits, VOCABULARY, 0, sampling, 1, 3, NULL), 4242);
  target_close(&t);
}
END_TEST

/* ---- The CUDA operations as a whole -------------------------------------- */

enum { WIDTH = 32, TOKENS = 8 };

/* A step whose tokens follow from the table alone: the first elements of h are the logits. */
static weir_status enqueue_step(target *t, const gemma_table *table, void *tokens, void *norm, void *state, void *h, void *x,
                                void *sum, weir_stream stream) {
  gemma_sampling sampling = {.top_p = 1};
  weir_status status = t->ops->embed(t->ops, table, tokens, 1, 4, norm, 1e-6f, state, h, x, stream);
  if (!status) status = t->ops->add_norm(t->ops, 1, 1, WIDTH, h, norm, NULL, norm, 1e-6f, sum, x, stream);
  return status ? status : t->ops->sample(t->ops, 1, TOKENS, 0, &sampling, h, tokens, state, stream);
}

START_TEST(test_a_captured_step_goes_on_from_token_to_token) {
  target t;
  target_open(&t, _i, 1, TOKENS);
  int8_t codes[TOKENS][WIDTH] = {{0}};
  float scales[TOKENS][2], norm[WIDTH], zero[WIDTH] = {0};
  static const int successor[TOKENS] = {3, 0, 5, 7, 1, 4, 6, 2};
  for (int n = 0; n < TOKENS; n++) codes[n][successor[n]] = 100, scales[n][0] = scales[n][1] = 0.5f;
  for (int i = 0; i < WIDTH; i++) norm[i] = 1;
  int32_t tokens[CONTEXT] = {2};
  gemma_state state = {0};
  gemma_table table = {.desc = {.op = WEIR_OP_INT8_MATVEC, .n = TOKENS, .k = WIDTH, .group = 16, .scale_type = WEIR_F32},
                       .codes = target_put(&t, codes, sizeof codes),
                       .scales = target_put(&t, scales, sizeof scales)};
  void *device_tokens = target_put(&t, tokens, sizeof tokens), *device_norm = target_put(&t, norm, sizeof norm);
  void *device_state = target_put(&t, &state, sizeof state), *h = target_put(&t, zero, sizeof zero);
  void *x = target_put(&t, NULL, 2 * WIDTH), *sum = target_put(&t, zero, sizeof zero);
  weir_stream stream = NULL;
  weir_graph *graph = NULL;
  ASSERT_OK(weir_stream_create(t.device, &stream));
  ASSERT_OK(weir_capture_begin(t.device, stream));
  ASSERT_OK(enqueue_step(&t, &table, device_tokens, device_norm, device_state, h, x, sum, stream));
  ASSERT_OK(weir_capture_end(t.device, stream, &graph));
  for (int i = 0; i < 20; i++) ASSERT_OK(weir_graph_launch(graph, stream));
  ASSERT_OK(weir_synchronize(t.device, stream));
  target_read(&t, device_tokens, sizeof tokens, tokens);
  target_read(&t, device_state, sizeof state, &state);
  ck_assert_int_eq(state.position, 20);
  ck_assert_int_eq(state.kv_len_full, 20);
  ck_assert_int_eq(state.kv_len_ring, 4);
  for (int i = 0; i < 20; i++) ck_assert_int_eq(tokens[i + 1], successor[tokens[i]]);
  if (!target_is_real()) {
    struct fakecuda_launch last;
    CONTROL(fakecuda_last_launch)(&last);
    ck_assert_str_eq(last.name, "gemma_most");
    ck_assert_uint_eq(last.programmatic, _i != 1); /* not before sm_90 */
    ck_assert_uint_eq(last.count, 3 * 20);
  }
  weir_graph_destroy(graph);
  weir_stream_destroy(t.device, stream);
  void *all[] = {(void *)(uintptr_t)table.codes, (void *)(uintptr_t)table.scales, device_tokens, device_norm, device_state, h, x, sum};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) weir_memory_free(t.device, all[i]);
  target_close(&t);
}
END_TEST

#define REFUSES(call, ...)                                    \
  do {                                                        \
    weir_status status_ = (call);                             \
    ck_assert_int_eq(status_, WEIR_E_SHAPE);                  \
    ASSERT_NAMES(gemma_error(status_), __VA_ARGS__);          \
  } while (0)

START_TEST(test_what_the_kernels_cannot_do_is_refused) {
  target t;
  if (target_is_real()) return;
  target_open(&t, 0, 8, 100);
  gemma_sampling sampling = {.top_p = 1};
  gemma_layer layer = {.kv_heads = 1, .head_dim = 520};
  gemma_rope_args rope = {.layer = &layer, .q_heads = 1};
  gemma_table table = {.desc = {.op = WEIR_OP_INT8_MATVEC, .n = 1, .k = 12, .group = 4}};
  gemma_ops *ops = t.ops;
  REFUSES(ops->embed(ops, &table, NULL, 1, 0, NULL, 0, NULL, NULL, NULL, NULL), "embed", "12", "multiples of 8");
  table.desc.k = 16;
  table.desc.op = WEIR_OP_INT4_MATVEC;
  REFUSES(ops->embed(ops, &table, NULL, 1, 0, NULL, 0, NULL, NULL, NULL, NULL), "embed", "op 1", "int8");
  REFUSES(ops->add_norm(ops, 1, 1, 8200, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL), "add_norm", "8200", "8192");
  REFUSES(ops->add_norm(ops, 9, 1, 8, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL), "add_norm", "9", "1 to 8");
  REFUSES(ops->add_norm(ops, 2, 3, 8, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL), "add_norm", "3", "2");
  REFUSES(ops->rope_append(ops, 1, &rope, NULL, NULL), "rope_append", "520", "512");
  REFUSES(ops->gelu_mul(ops, 0, 8, NULL, NULL, 8, NULL, NULL), "gelu_mul", "0", "1 to 8");
  REFUSES(ops->gelu_mul(ops, 1, 16, NULL, NULL, 8, NULL, NULL), "gelu_mul", "16", "8", "no less");
  REFUSES(ops->gelu_mul(ops, 1, 8, NULL, NULL, 10, NULL, NULL), "gelu_mul", "10", "multiple of 4");
  layer.head_dim = 64;
  rope.q_stride = rope.k_stride = 64;
  REFUSES(ops->rope_append(ops, 1, &rope, NULL, NULL), "rope_append, v", "64", "0", "multiple of 4");
  REFUSES(ops->ring_to_linear(ops, &layer, 4, 3, 4, NULL, NULL, NULL, NULL, NULL, NULL), "ring_to_linear", "4", "3");
  REFUSES(ops->linear_to_ring(ops, &layer, 0, 3, 1, 1, 1, NULL, NULL, NULL, NULL, NULL, NULL), "linear_to_ring", "ring of 0");
  REFUSES(ops->sample(ops, 1, 101, 0, &sampling, NULL, NULL, NULL, NULL), "sample", "101", "100");
  target_close(&t);

  weir_runtime *runtime = open_cuda("libcuda.so.1");
  machine("sm=75", NULL);
  weir_device *device = open_device(runtime, "cuda:0");
  weir_status status = gemma_ops_open(device, 1, 100, &ops);
  ck_assert_int_eq(status, WEIR_E_UNSUPPORTED);
  ck_assert_ptr_null(ops);
  ASSERT_NAMES(gemma_error(status), "7.5", "8.0", "--device cpu");
  weir_device_close(device);
  weir_close(runtime);
}
END_TEST

START_TEST(test_every_driver_call_of_opening_may_fail) {
  if (target_is_real()) return;
  machine("sm=90", NULL);
  weir = weir_get_api(WEIR_ABI_MAJOR);
  weir_runtime *runtime = open_cuda("libcuda.so.1");
  unsigned failed = 0;
  for (uint64_t n = 1, calls = 1; n <= calls; n++) {
    weir_device *device = open_device(runtime, "cuda:0");
    gemma_ops *ops = NULL;
    CONTROL(fakecuda_reset)();
    if (n > 1) CONTROL(fakecuda_fail_nth)(n - 1, 999);
    weir_status status = gemma_ops_open(device, 4, 1000, &ops);
    calls = n == 1 ? CONTROL(fakecuda_calls)(NULL) + 1 : calls;
    CONTROL(fakecuda_fail_nth)(0, 0);
    ck_assert_int_eq(status == WEIR_OK, ops != NULL);
    if (status) {
      failed++;
      ck_assert_int_eq(status, WEIR_E_DRIVER);
      ASSERT_NAMES(gemma_error(status), "999");
    } else {
      ops->close(ops);
    }
    weir_device_close(device);
    assert_nothing_lives("opening the operations");
  }
  ck_assert_uint_gt(failed, 10);
  weir_close(runtime);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("gemma sampling");
  TCase *sampling = tcase_create("sampling"), *whole = tcase_create("operations");
  tcase_set_timeout(sampling, 120);
  tcase_set_timeout(whole, 120);
  tcase_add_loop_test(sampling, test_greedy, 0, TARGETS);
  tcase_add_loop_test(sampling, test_softcap, 0, TARGETS);
  tcase_add_test(sampling, test_choices_have_their_probabilities);
  tcase_add_loop_test(sampling, test_every_device_chooses_alike, 0, TARGETS);
  suite_add_tcase(suite, sampling);
  tcase_add_loop_test(whole, test_a_captured_step_goes_on_from_token_to_token, 0, TARGET_CPU);
  tcase_add_test(whole, test_what_the_kernels_cannot_do_is_refused);
  tcase_add_test(whole, test_every_driver_call_of_opening_may_fail);
  suite_add_tcase(suite, whole);
  return run_suite(suite);
}

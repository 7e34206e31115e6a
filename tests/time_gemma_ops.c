/* SPDX-License-Identifier: MIT */

/* usage: time_gemma_ops [LAYERS [REPETITIONS]]
 * What the operations between the matvecs of Gemma 4 31B cost on cuda:0, one row, in CUDA
 * graphs: each by itself, LAYERS (default 60) times in a row, and all of a decode step's. */
#include <stdio.h>
#include <stdlib.h>

#include "../examples/gemma/ops.h"

enum { WIDTH = 5376, FORWARD = 21504, VOCABULARY = 262144, Q_HEADS = 32, RING = 1024, CONTEXT = 4096, EVENTS = 2 };

static weir_device *device;
static gemma_ops *ops;
static weir_stream stream;
static unsigned layers = 60, repetitions = 50;

static const gemma_layer sliding = {.is_sliding = true, .kv_heads = 16, .head_dim = 256, .rope_pairs = 128};
static const gemma_layer full = {.v_is_k = true, .kv_heads = 4, .head_dim = 512, .rope_pairs = 64};

static gemma_table table = {.desc = {.op = WEIR_OP_INT8_MATVEC, .n = 1, .k = WIDTH, .group = WIDTH, .scale_type = WEIR_F32}};
static float *h, *y, *gate, *norm, *frequencies, *logits;
static void *x, *q, *cache_k, *cache_v;
static int32_t *tokens;
static gemma_state *state;
static gemma_sampling greedy = {.top_p = 1}, sampled = {.temperature = 1, .top_p = 0.95f, .seed = 1};

static void check(weir_status status) {
  if (!status) return;
  fprintf(stderr, "time_gemma_ops: %s\n", gemma_error(status));
  exit(1);
}

static void *room(uint64_t bytes) {
  void *memory;
  check(weir->memory_alloc(device, bytes, &memory));
  check(weir->memory_fill(device, memory, 0, bytes, NULL));
  return memory;
}

static void embed(void) { check(ops->embed(ops, &table, tokens, 1, RING, norm, 1e-6f, state, h, x, stream)); }
static void add_norm(void) { check(ops->add_norm(ops, 1, 1, WIDTH, y, norm, norm, norm, 1e-6f, h, x, stream)); }
static void gelu_mul(void) { check(ops->gelu_mul(ops, 1, FORWARD, gate, gate, FORWARD, x, stream)); }
static void rope(const gemma_layer *layer) {
  gemma_rope_args args = {.layer = layer,
                          .q_heads = Q_HEADS,
                          .epsilon = 1e-6f,
                          .has_v_norm = true,
                          .q_norm = norm,
                          .k_norm = norm,
                          .inverse_frequencies = frequencies,
                          .q = gate,
                          .k = gate,
                          .v = gate,
                          .q_stride = Q_HEADS * layer->head_dim,
                          .k_stride = layer->kv_heads * layer->head_dim,
                          .v_stride = layer->kv_heads * layer->head_dim,
                          .out_q = q,
                          .out_k = cache_k,
                          .out_v = cache_v,
                          .slots = layer->is_sliding ? RING : CONTEXT,
                          .ring = layer->is_sliding ? RING : 0,
                          .first_slot = -1};
  check(ops->rope_append(ops, 1, &args, state, stream));
}
static void rope_sliding(void) { rope(&sliding); }
static void rope_full(void) { rope(&full); }
static void sample_greedy(void) { check(ops->sample(ops, 1, VOCABULARY, 30, &greedy, logits, tokens, state, stream)); }
static void sample_top_p(void) { check(ops->sample(ops, 1, VOCABULARY, 30, &sampled, logits, tokens, state, stream)); }

static void decode_step(void) {
  embed();
  for (unsigned i = 0; i < layers; i++) {
    if (i % 6 == 5) rope_full();
    else rope_sliding();
    add_norm();
    gelu_mul();
    add_norm();
  }
  sample_greedy();
}

/* Microseconds of one of `count`, at best, of graphs of so many. */
static void measure(const char *name, void (*op)(void), unsigned count) {
  weir_graph *graph;
  weir_event *event[EVENTS];
  float best = 0;
  for (int i = 0; i < EVENTS; i++) check(weir->event_create(device, &event[i]));
  check(weir->capture_begin(device, stream));
  for (unsigned i = 0; i < count; i++) op();
  check(weir->capture_end(device, stream, &graph));
  for (unsigned r = 0; r < repetitions; r++) {
    float milliseconds;
    check(weir->memory_fill(device, state, 0, sizeof *state, stream));
    check(weir->event_record(event[0], stream));
    check(weir->graph_launch(graph, stream));
    check(weir->event_record(event[1], stream));
    check(weir->event_elapsed(event[0], event[1], &milliseconds));
    if (r == 0 || milliseconds < best) best = milliseconds;
  }
  printf("%-14s %8.2f us\n", name, (double)best * 1e3 / count);
  weir->graph_destroy(graph);
  for (int i = 0; i < EVENTS; i++) weir->event_destroy(event[i]);
}

int main(int argc, char **argv) {
  if (argc > 1) layers = (unsigned)atoi(argv[1]);
  if (argc > 2) repetitions = (unsigned)atoi(argv[2]);
  weir_runtime *runtime;
  check(gemma_library_open(getenv("WEIR_TEST_LIBWEIR")));
  check(weir->open(NULL, &runtime));
  check(weir->device_open(runtime, "cuda:0", &device));
  check(gemma_ops_open_cuda(device, 1, VOCABULARY, &ops));
  check(weir->stream_create(device, &stream));
  table.codes = room(WIDTH);
  table.scales = room(sizeof(float));
  h = room(sizeof(float) * WIDTH);
  y = room(sizeof(float) * WIDTH);
  norm = room(sizeof(float) * WIDTH);
  gate = room(sizeof(float) * FORWARD);
  frequencies = room(sizeof(float) * 256);
  logits = room(sizeof(float) * VOCABULARY);
  x = room(sizeof(float) * FORWARD);
  q = room(sizeof(float) * Q_HEADS * 512);
  cache_k = room((uint64_t)2 * CONTEXT * 4 * 512);
  cache_v = room((uint64_t)2 * CONTEXT * 4 * 512);
  tokens = room(sizeof(int32_t) * (CONTEXT + 1));
  state = room(sizeof *state);
  check(weir->synchronize(device, NULL));
  measure("embed", embed, layers);
  measure("add_norm", add_norm, layers);
  measure("rope sliding", rope_sliding, layers);
  measure("rope full", rope_full, layers);
  measure("gelu_mul", gelu_mul, layers);
  measure("sample greedy", sample_greedy, layers);
  measure("sample top_p", sample_top_p, layers);
  measure("a decode step", decode_step, 1);
  return 0;
}

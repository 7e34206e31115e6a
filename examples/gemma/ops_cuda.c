/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>

#include "gemma_args.h"
#include "gemma_ptx.h"
#include "ops.h"

typedef enum entry { EMBED, ADD_NORM, ROPE_APPEND, GELU_MUL, RING_TO_LINEAR, LINEAR_TO_RING, MOST, GOAL, LEAST, CHOOSE, ENTRIES } entry;

static const char *const entry_names[ENTRIES] = {
    [EMBED] = "gemma_embed",
    [ADD_NORM] = "gemma_add_norm",
    [ROPE_APPEND] = "gemma_rope_append",
    [GELU_MUL] = "gemma_gelu_mul",
    [RING_TO_LINEAR] = "gemma_ring_to_linear",
    [LINEAR_TO_RING] = "gemma_linear_to_ring",
    [MOST] = "gemma_most",
    [GOAL] = "gemma_goal",
    [LEAST] = "gemma_least",
    [CHOOSE] = "gemma_choose",
};

typedef struct cuda_ops {
  gemma_ops base;
  uint32_t vocabulary;
  const weir_kernel *kernel[ENTRIES];
  void *workspace; /* gemma_choice, counts, of_blocks */
} cuda_ops;

enum { ROWS_MOST = 65535, CHOICE_BYTES = 256 };
_Static_assert(sizeof(struct gemma_choice) <= CHOICE_BYTES, "what follows it is aligned");
_Static_assert(sizeof(struct gemma_device_state) == sizeof(gemma_state), "one is the other");

static uint32_t blocks_of(uint64_t items, uint32_t each) { return (uint32_t)((items + each - 1) / each); }

/* All kernels wait for the one before themselves. */
static weir_status launch(const gemma_ops *ops, entry which, uint32_t blocks_x, uint32_t blocks_y, uint32_t threads,
                          void *const *params, weir_stream stream) {
  const cuda_ops *cuda = (const cuda_ops *)ops;
  weir_launch shape = {.struct_size = sizeof shape,
                       .flags = WEIR_LAUNCH_PROGRAMMATIC,
                       .grid = {blocks_x, blocks_y, 1},
                       .block = {threads, 1, 1}};
  return weir->kernel_launch(ops->device, cuda->kernel[which], &shape, params, stream);
}

static weir_status check_rows(const gemma_ops *ops, const char *what, uint32_t rows) {
  if (rows >= 1 && rows <= ops->rows_most) return WEIR_OK;
  return gemma_fail(WEIR_E_SHAPE, "%s of %u rows; the operations were opened for 1 to %u", what, rows, ops->rows_most);
}

static weir_status check_width(const gemma_ops *ops, const char *what, uint32_t rows, uint32_t width, uint32_t most) {
  if (width % 8 || width == 0 || width > most)
    return gemma_fail(WEIR_E_SHAPE, "%s of rows of %u; the CUDA kernels take multiples of 8 up to %u", what, width, most);
  return check_rows(ops, what, rows);
}

/* Rows of `width` elements that begin so many elements apart. */
static weir_status check_stride(const char *what, uint32_t stride, uint32_t width) {
  if (stride >= width && stride % 4 == 0) return WEIR_OK;
  return gemma_fail(WEIR_E_SHAPE, "%s of rows of %u that are %u elements apart; it must be a multiple of 4, and no less than a row",
                    what, width, stride);
}

/* One block for each row, and no more threads than have something to do. */
static uint32_t threads_of_row(uint32_t width) { return blocks_of(width / 4, 32 * GEMMA_QUADS_OF_THREAD) * 32; }

static weir_status cuda_embed(gemma_ops *ops, const gemma_table *table, const int32_t *all_tokens, uint32_t rows, uint32_t window,
                              const float *norm, float epsilon, gemma_state *state, float *out_h, void *out_x,
                              weir_stream stream) {
  const weir_matvec_desc *desc = &table->desc;
  weir_status status = check_width(ops, "embed", rows, desc->k, GEMMA_WIDTH_MOST);
  if (status) return status;
  if (desc->op != WEIR_OP_INT8_MATVEC || desc->group == 0 || desc->group % 4 || desc->k % desc->group)
    return gemma_fail(WEIR_E_SHAPE, "embed: the table has op %u and groups of %u of %u; int8 in groups of a multiple of 4 is needed",
                      desc->op, desc->group, desc->k);
  struct gemma_embed_args args = {.codes = table->codes,
                                  .scales = table->scales,
                                  .zeros = table->zeros,
                                  .tokens = all_tokens,
                                  .norm = norm,
                                  .state = (struct gemma_device_state *)state,
                                  .h = out_h,
                                  .x = out_x,
                                  .width = desc->k,
                                  .group = desc->group,
                                  .is_min = desc->form == WEIR_FORM_MIN,
                                  .scale_type = desc->scale_type,
                                  .zero_type = desc->zero_type,
                                  .rows = rows,
                                  .window = window,
                                  .root = sqrtf((float)desc->k),
                                  .epsilon = epsilon};
  return launch(ops, EMBED, rows, 1, threads_of_row(desc->k), (void *[]){&args}, stream);
}

static weir_status cuda_add_norm(gemma_ops *ops, uint32_t rows, uint32_t x_rows, uint32_t width, const float *y,
                                 const float *post, const float *scale, const float *next, float epsilon, float *h,
                                 void *out_x, weir_stream stream) {
  weir_status status = check_width(ops, "add_norm", rows, width, GEMMA_WIDTH_MOST);
  if (status) return status;
  if (x_rows > rows) return gemma_fail(WEIR_E_SHAPE, "add_norm: %u rows of x of %u rows", x_rows, rows);
  struct gemma_add_norm_args args = {.y = y,
                                     .post = post,
                                     .scale = scale,
                                     .next = next,
                                     .h = h,
                                     .x = out_x,
                                     .width = width,
                                     .first_x_row = rows - x_rows,
                                     .epsilon = epsilon};
  return launch(ops, ADD_NORM, rows, 1, threads_of_row(width), (void *[]){&args}, stream);
}

static weir_status check_layer(const gemma_layer *layer, const char *what) {
  if (layer->head_dim % 8 == 0 && layer->head_dim > 0 && layer->head_dim <= GEMMA_HEAD_DIM_MOST && layer->kv_heads > 0)
    return WEIR_OK;
  return gemma_fail(WEIR_E_SHAPE, "%s of %u heads of %u; the CUDA kernels take heads of multiples of 8 up to %d", what,
                    layer->kv_heads, layer->head_dim, GEMMA_HEAD_DIM_MOST);
}

static weir_status cuda_rope_append(gemma_ops *ops, uint32_t rows, const gemma_rope_args *rope, const gemma_state *state,
                                    weir_stream stream) {
  const gemma_layer *layer = rope->layer;
  weir_status status = check_layer(layer, "rope_append");
  const uint32_t kv_width = layer->kv_heads * layer->head_dim, v_stride = layer->v_is_k ? rope->k_stride : rope->v_stride;
  if (!status) status = check_rows(ops, "rope_append", rows);
  if (!status) status = check_stride("rope_append, q", rope->q_stride, rope->q_heads * layer->head_dim);
  if (!status) status = check_stride("rope_append, k", rope->k_stride, kv_width);
  if (!status) status = check_stride("rope_append, v", v_stride, kv_width);
  if (status) return status;
  struct gemma_heads_args args = {.q_norm = rope->q_norm,
                                  .k_norm = rope->k_norm,
                                  .frequencies = rope->inverse_frequencies,
                                  .q = rope->q,
                                  .k = rope->k,
                                  .v = layer->v_is_k ? rope->k : rope->v,
                                  .out_q = rope->out_q,
                                  .out_k = rope->out_k,
                                  .out_v = rope->out_v,
                                  .state = (const struct gemma_device_state *)state,
                                  .q_heads = rope->q_heads,
                                  .kv_heads = layer->kv_heads,
                                  .head_dim = layer->head_dim,
                                  .slots = rope->slots,
                                  .ring = rope->ring,
                                  .first_slot = rope->first_slot,
                                  .rows = rows,
                                  .has_v_norm = rope->has_v_norm,
                                  .epsilon = rope->epsilon,
                                  .q_stride = rope->q_stride,
                                  .k_stride = rope->k_stride,
                                  .v_stride = v_stride};
  /* A warp for each head; few of them are spread over as many multiprocessors. */
  uint32_t heads = rope->q_heads + 2 * layer->kv_heads;
  uint32_t threads = (uint64_t)rows * heads <= 512 ? 32 : GEMMA_ELEMENT_THREADS;
  return launch(ops, ROPE_APPEND, blocks_of((uint64_t)heads * 32, threads), rows, threads, (void *[]){&args}, stream);
}

static weir_status cuda_gelu_mul(gemma_ops *ops, uint32_t rows, uint32_t width, const float *gate, const float *up,
                                 uint32_t stride, void *out_x, weir_stream stream) {
  weir_status status = check_width(ops, "gelu_mul", rows, width, 1 << 20);
  if (!status) status = check_stride("gelu_mul", stride, width);
  if (status) return status;
  if ((uint64_t)rows * stride / 4 > INT32_MAX)
    return gemma_fail(WEIR_E_SHAPE, "gelu_mul of %u rows, %u elements apart; these are too many at a time", rows, stride);
  uint32_t quads = width / 4, stride_quads = stride / 4;
  return launch(ops, GELU_MUL, blocks_of(quads, GEMMA_ELEMENT_THREADS), rows, GEMMA_ELEMENT_THREADS,
                (void *[]){&gate, &up, &out_x, &quads, &stride_quads}, stream);
}

static weir_status copy_ring(gemma_ops *ops, entry which, const gemma_layer *layer, struct gemma_ring_args *args,
                             weir_stream stream) {
  if (args->count == 0) return WEIR_OK;
  weir_status status = check_layer(layer, entry_names[which]);
  if (status) return status;
  if (args->ring == 0 || (uint64_t)args->first + args->count > args->slots)
    return gemma_fail(WEIR_E_SHAPE, "%s of slots %u to %u of %u, and a ring of %u; they must lie within", entry_names[which],
                      args->first, args->first + args->count, args->slots, args->ring);
  args->kv_heads = layer->kv_heads;
  args->head_dim = layer->head_dim;
  uint64_t pieces = (uint64_t)args->count * (layer->head_dim / 8);
  return launch(ops, which, blocks_of(pieces, GEMMA_ELEMENT_THREADS), 2 * layer->kv_heads, GEMMA_ELEMENT_THREADS,
                (void *[]){args}, stream);
}

static weir_status cuda_ring_to_linear(gemma_ops *ops, const gemma_layer *layer, uint32_t ring, uint32_t slots, uint32_t count,
                                       const void *ring_k, const void *ring_v, const gemma_state *state, void *out_k,
                                       void *out_v, weir_stream stream) {
  struct gemma_ring_args args = {.from_k = ring_k,
                                 .from_v = ring_v,
                                 .to_k = out_k,
                                 .to_v = out_v,
                                 .state = (const struct gemma_device_state *)state,
                                 .ring = ring,
                                 .slots = slots,
                                 .count = count};
  return copy_ring(ops, RING_TO_LINEAR, layer, &args, stream);
}

static weir_status cuda_linear_to_ring(gemma_ops *ops, const gemma_layer *layer, uint32_t ring, uint32_t slots, uint32_t first,
                                       uint32_t count, uint32_t rows, const void *k, const void *v, const gemma_state *state,
                                       void *out_ring_k, void *out_ring_v, weir_stream stream) {
  struct gemma_ring_args args = {.from_k = k,
                                 .from_v = v,
                                 .to_k = out_ring_k,
                                 .to_v = out_ring_v,
                                 .state = (const struct gemma_device_state *)state,
                                 .ring = ring,
                                 .slots = slots,
                                 .first = first,
                                 .count = count,
                                 .rows = rows};
  return copy_ring(ops, LINEAR_TO_RING, layer, &args, stream);
}

static weir_status cuda_sample(gemma_ops *ops, uint32_t rows, uint32_t vocabulary, float softcap, const gemma_sampling *sampling,
                               float *logits, int32_t *all_tokens, gemma_state *state, weir_stream stream) {
  const cuda_ops *cuda = (const cuda_ops *)ops;
  weir_status status = check_rows(ops, "sample", rows);
  if (status) return status;
  if (vocabulary == 0 || vocabulary > cuda->vocabulary)
    return gemma_fail(WEIR_E_SHAPE, "sample of %u logits; the operations were opened for 1 to %u", vocabulary, cuda->vocabulary);
  bool is_greedy = !(sampling->temperature > 0);
  uint64_t *counts = (uint64_t *)((char *)cuda->workspace + CHOICE_BYTES);
  struct gemma_choose_args args = {.logits = logits,
                                   .tokens = all_tokens,
                                   .state = (struct gemma_device_state *)state,
                                   .choice = cuda->workspace,
                                   .counts = counts,
                                   .of_blocks = counts + GEMMA_COUNTS,
                                   .seed = sampling->seed,
                                   .vocabulary = vocabulary,
                                   .rows = rows,
                                   .softcap = softcap,
                                   .scale = is_greedy ? 0 : (float)(1.4426950408889634 / (double)sampling->temperature),
                                   .top_p = sampling->top_p,
                                   .is_greedy = is_greedy};
  void *params[] = {&args};
  uint32_t blocks = blocks_of(vocabulary, GEMMA_CHOOSE_LOGITS), count_blocks = blocks_of(vocabulary, 4 * GEMMA_COUNT_THREADS);
  status = launch(ops, MOST, blocks, 1, GEMMA_CHOOSE_THREADS, params, stream);
  if (status || is_greedy) return status;
  if (sampling->top_p < 1) {
    status = launch(ops, GOAL, count_blocks, 1, GEMMA_COUNT_THREADS, params, stream);
    if (!status) status = launch(ops, LEAST, count_blocks, 1, GEMMA_COUNT_THREADS, params, stream);
  }
  return status ? status : launch(ops, CHOOSE, blocks, 1, GEMMA_CHOOSE_THREADS, params, stream);
}

static void cuda_close(gemma_ops *ops) {
  if (!ops) return;
  weir->memory_free(ops->device, ((cuda_ops *)ops)->workspace);
  free(ops);
}

weir_status gemma_ops_open_cuda(weir_device *device, uint32_t rows_most, uint32_t vocabulary, gemma_ops **out_ops) {
  *out_ops = NULL;
  weir_device_info info = {.struct_size = sizeof info};
  weir_status status = weir->device_get(device, &info);
  if (status) return status;
  if (info.cc < 80)
    return gemma_fail(WEIR_E_UNSUPPORTED, "%s has compute capability %u.%u; Gemma's CUDA kernels need 8.0, so use --device cpu",
                      info.name, info.cc / 10, info.cc % 10);
  if (rows_most == 0 || rows_most > ROWS_MOST)
    return gemma_fail(WEIR_E_SHAPE, "%u rows at a time; Gemma's CUDA kernels take 1 to %d", rows_most, ROWS_MOST);
  cuda_ops *cuda = calloc(1, sizeof *cuda);
  if (!cuda) return gemma_fail(WEIR_E_NOMEM, "no memory for the operations between matvecs");
  cuda->base = (gemma_ops){.x_type = WEIR_BF16,
                           .device = device,
                           .rows_most = rows_most,
                           .embed = cuda_embed,
                           .add_norm = cuda_add_norm,
                           .rope_append = cuda_rope_append,
                           .gelu_mul = cuda_gelu_mul,
                           .ring_to_linear = cuda_ring_to_linear,
                           .linear_to_ring = cuda_linear_to_ring,
                           .sample = cuda_sample,
                           .close = cuda_close};
  cuda->vocabulary = vocabulary;
  const char *ptx = info.cc >= 90 ? gemma_ptx_sm_90 : gemma_ptx_sm_80;
  for (int i = 0; i < ENTRIES && !status; i++)
    status = weir->kernel_get(device, ptx, entry_names[i], 0, &cuda->kernel[i]);
  uint64_t bytes = CHOICE_BYTES + sizeof(uint64_t) * (GEMMA_COUNTS + (uint64_t)blocks_of(vocabulary, GEMMA_CHOOSE_LOGITS));
  if (!status) status = weir->memory_alloc(device, bytes, &cuda->workspace);
  if (!status) status = weir->memory_fill(device, cuda->workspace, 0, bytes, NULL);
  if (!status) status = weir->synchronize(device, NULL);
  if (status) {
    cuda_close(&cuda->base);
    return status;
  }
  *out_ops = &cuda->base;
  return WEIR_OK;
}

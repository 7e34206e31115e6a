/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "ops.h"
#include "parallel.h"
#include "sampling.h"

/* Rows of a long prompt are shared out to threads; of a short one they are not worth it. */
static void for_rows(uint32_t rows, gemma_rows_fn work, void *arg) {
  enum { ROWS_OF_THREAD = 16 };
  if (rows <= ROWS_OF_THREAD) work(arg, 0, rows);
  else gemma_parallel(rows, ROWS_OF_THREAD, work, arg);
}

/* ---- Norms --------------------------------------------------------------- */

static float inverse_rms(const float *x, uint32_t width, float epsilon) {
  double sum = 0;
  for (uint32_t i = 0; i < width; i++) sum += (double)x[i] * x[i];
  return (float)(1 / sqrt(sum / width + epsilon));
}

/* weight null: all 1. out may be x. */
static void norm(const float *x, const float *weight, uint32_t width, float epsilon, float *out) {
  float factor = inverse_rms(x, width, epsilon);
  for (uint32_t i = 0; i < width; i++) out[i] = weight ? x[i] * factor * weight[i] : x[i] * factor;
}

static float load_scaled(const gemma_table *table, uint64_t token, uint32_t i) {
  const weir_matvec_desc *desc = &table->desc;
  const uint64_t group = token * (desc->k / desc->group) + i / desc->group;
  const double scale = number_load(desc->scale_type, table->scales, group);
  const double zero = table->zeros ? number_load(desc->zero_type, table->zeros, group) : 0;
  const double code = ((const int8_t *)table->codes)[token * desc->k + i];
  return (float)(desc->form == WEIR_FORM_MIN ? scale * code + zero : scale * (code - zero));
}

typedef struct embed_job {
  const gemma_table *table;
  const int32_t *tokens; /* of row 0 on */
  const float *weight;
  float epsilon, *h, *x;
} embed_job;

static weir_status embed_rows(void *arg, uint32_t first, uint32_t end) {
  const embed_job *job = arg;
  const uint32_t width = job->table->desc.k;
  const float root = sqrtf((float)width);
  for (uint32_t r = first; r < end; r++) {
    float *h = job->h + (uint64_t)r * width;
    for (uint32_t i = 0; i < width; i++) h[i] = load_scaled(job->table, (uint64_t)job->tokens[r], i) * root;
    norm(h, job->weight, width, job->epsilon, job->x + (uint64_t)r * width);
  }
  return WEIR_OK;
}

static weir_status embed(gemma_ops *ops, const gemma_table *table, const int32_t *all_tokens, uint32_t rows,
                         uint32_t window, const float *weight, float epsilon, gemma_state *state, float *out_h,
                         void *out_x, weir_stream stream) {
  embed_job job = {table, all_tokens + state->position, weight, epsilon, out_h, out_x};
  const int32_t end = state->position + (int32_t)rows;
  (void)ops;
  (void)stream;
  for_rows(rows, embed_rows, &job);
  state->kv_len_full = end;
  state->kv_len_ring = end < (int32_t)window ? end : (int32_t)window;
  return WEIR_OK;
}

typedef struct add_norm_job {
  const float *y, *post, *next;
  float factor, epsilon, *h, *x;
  uint32_t width, first_x_row;
} add_norm_job;

static weir_status add_norm_rows(void *arg, uint32_t first, uint32_t end) {
  const add_norm_job *job = arg;
  const uint64_t width = job->width;
  for (uint64_t r = first; r < end; r++) {
    const float *y = job->y + r * width, inverse = inverse_rms(y, job->width, job->epsilon);
    float *h = job->h + r * width;
    for (uint32_t i = 0; i < width; i++) h[i] = (h[i] + y[i] * inverse * job->post[i]) * job->factor;
    if (r >= job->first_x_row)
      norm(h, job->next, job->width, job->epsilon, job->x + (r - job->first_x_row) * width);
  }
  return WEIR_OK;
}

static weir_status add_norm(gemma_ops *ops, uint32_t rows, uint32_t x_rows, uint32_t width, const float *y,
                            const float *post, const float *scale, const float *next, float epsilon, float *h,
                            void *out_x, weir_stream stream) {
  add_norm_job job = {y, post, next, scale ? *scale : 1, epsilon, h, out_x, width, rows - x_rows};
  (void)ops;
  (void)stream;
  for_rows(rows, add_norm_rows, &job);
  return WEIR_OK;
}

/* ---- Heads --------------------------------------------------------------- */

enum { HEAD_DIM_MOST = 512 };

/* Of the pairs that rotate, at one position. */
typedef struct angles {
  float cosine[HEAD_DIM_MOST / 2], sine[HEAD_DIM_MOST / 2];
} angles;

static void rotate(float *head, const gemma_layer *layer, const angles *angles) {
  const uint32_t half = layer->head_dim / 2;
  for (uint32_t i = 0; i < layer->rope_pairs; i++) {
    const float a = head[i], b = head[i + half], c = angles->cosine[i], s = angles->sine[i];
    head[i] = a * c - b * s;
    head[i + half] = b * c + a * s;
  }
}

static void store_bf16(const float *head, uint32_t count, uint16_t *out) {
  for (uint32_t i = 0; i < count; i++) out[i] = number_to_bf16(head[i]);
}

typedef struct rope_job {
  const gemma_rope_args *args;
  int32_t position; /* of row 0 */
} rope_job;

static void rope_row(const gemma_rope_args *args, uint32_t r, uint32_t position) {
  const gemma_layer *layer = args->layer;
  const uint32_t d = layer->head_dim;
  const uint64_t slot = args->ring               ? position % args->ring
                        : args->first_slot == -1 ? position
                                                 : (uint32_t)args->first_slot + r;
  float head[HEAD_DIM_MOST];
  angles angles;
  for (uint32_t i = 0; i < layer->rope_pairs; i++) {
    angles.cosine[i] = cosf((float)position * args->inverse_frequencies[i]);
    angles.sine[i] = sinf((float)position * args->inverse_frequencies[i]);
  }
  for (uint32_t q = 0; q < args->q_heads; q++) {
    norm(args->q + (uint64_t)r * args->q_stride + q * d, args->q_norm, d, args->epsilon, head);
    rotate(head, layer, &angles);
    store_bf16(head, d, (uint16_t *)args->out_q + ((uint64_t)r * args->q_heads + q) * d);
  }
  for (uint32_t g = 0; g < layer->kv_heads; g++) {
    const uint64_t to = (g * (uint64_t)args->slots + slot) * d;
    const float *v = args->v + (uint64_t)r * args->v_stride + g * d;
    norm(args->k + (uint64_t)r * args->k_stride + g * d, args->k_norm, d, args->epsilon, head);
    rotate(head, layer, &angles);
    store_bf16(head, d, (uint16_t *)args->out_k + to);
    if (args->has_v_norm) norm(v, NULL, d, args->epsilon, head);
    else memcpy(head, v, d * sizeof *head);
    store_bf16(head, d, (uint16_t *)args->out_v + to);
  }
}

static weir_status rope_rows(void *arg, uint32_t first, uint32_t end) {
  const rope_job *job = arg;
  for (uint32_t r = first; r < end; r++) rope_row(job->args, r, (uint32_t)job->position + r);
  return WEIR_OK;
}

static weir_status rope_append(gemma_ops *ops, uint32_t rows, const gemma_rope_args *args, const gemma_state *state,
                               weir_stream stream) {
  rope_job job = {args, state->position};
  (void)ops;
  (void)stream;
  for_rows(rows, rope_rows, &job);
  return WEIR_OK;
}

typedef struct gelu_job {
  const float *gate, *up;
  float *x;
  uint64_t width, stride;
} gelu_job;

/* g * (1 + tanh(u)) / 2 = g / (1 + exp(-2 u)), u = sqrt(2 / pi) (g + 0.044715 g^3) */
static float gelu(float g) {
  const float twice_root = 1.5957691216057308f;
  return g / (1 + expf(-twice_root * (g + 0.044715f * g * g * g)));
}

static weir_status gelu_rows(void *arg, uint32_t first, uint32_t end) {
  const gelu_job *job = arg;
  for (uint64_t r = first; r < end; r++) {
    const float *gate = job->gate + r * job->stride, *up = job->up + r * job->stride;
    float *x = job->x + r * job->width;
    for (uint64_t i = 0; i < job->width; i++) x[i] = gelu(gate[i]) * up[i];
  }
  return WEIR_OK;
}

static weir_status gelu_mul(gemma_ops *ops, uint32_t rows, uint32_t width, const float *gate, const float *up,
                            uint32_t stride, void *out_x, weir_stream stream) {
  gelu_job job = {gate, up, out_x, width, stride};
  (void)ops;
  (void)stream;
  for_rows(rows, gelu_rows, &job);
  return WEIR_OK;
}

/* ---- Rings --------------------------------------------------------------- */

static void copy_token(const gemma_layer *layer, const void *from, uint64_t from_slots, uint64_t from_slot, void *to,
                       uint64_t to_slots, uint64_t to_slot) {
  const uint64_t d = layer->head_dim;
  for (uint64_t g = 0; g < layer->kv_heads; g++)
    memcpy((uint16_t *)to + (g * to_slots + to_slot) * d, (const uint16_t *)from + (g * from_slots + from_slot) * d,
           d * sizeof(uint16_t));
}

static weir_status ring_to_linear(gemma_ops *ops, const gemma_layer *layer, uint32_t ring, uint32_t slots,
                                  uint32_t count, const void *ring_k, const void *ring_v, const gemma_state *state,
                                  void *out_k, void *out_v, weir_stream stream) {
  (void)ops;
  (void)stream;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t from = ((uint32_t)state->position - count + i) % ring;
    copy_token(layer, ring_k, ring, from, out_k, slots, i);
    copy_token(layer, ring_v, ring, from, out_v, slots, i);
  }
  return WEIR_OK;
}

static weir_status linear_to_ring(gemma_ops *ops, const gemma_layer *layer, uint32_t ring, uint32_t slots,
                                  uint32_t first, uint32_t count, uint32_t rows, const void *k, const void *v,
                                  const gemma_state *state, void *out_ring_k, void *out_ring_v, weir_stream stream) {
  (void)ops;
  (void)stream;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t to = ((uint32_t)state->position + rows - count + i) % ring;
    copy_token(layer, k, slots, first + i, out_ring_k, ring, to);
    copy_token(layer, v, slots, first + i, out_ring_v, ring, to);
  }
  return WEIR_OK;
}

/* ---- Sampling ------------------------------------------------------------ */

static weir_status sample(gemma_ops *ops, uint32_t rows, uint32_t vocabulary, float softcap,
                          const gemma_sampling *sampling, float *logits, int32_t *all_tokens, gemma_state *state,
                          weir_stream stream) {
  const uint32_t end = (uint32_t)state->position + rows;
  (void)ops;
  (void)stream;
  for (uint32_t i = 0; i < vocabulary && softcap > 0; i++) logits[i] = softcap * tanhf(logits[i] / softcap);
  weir_status status = gemma_choose(sampling, logits, vocabulary, end, &all_tokens[end]);
  if (!status) state->position = (int32_t)end;
  return status;
}

static void close_ops(gemma_ops *ops) { free(ops); }

weir_status gemma_ops_open_cpu(weir_device *device, uint32_t rows_most, gemma_ops **out_ops) {
  gemma_ops *ops = malloc(sizeof *ops);
  *out_ops = ops;
  if (!ops) return gemma_fail(WEIR_E_NOMEM, "no memory for a table of functions");
  *ops = (gemma_ops){.x_type = WEIR_F32,
                     .device = device,
                     .rows_most = rows_most,
                     .embed = embed,
                     .add_norm = add_norm,
                     .rope_append = rope_append,
                     .gelu_mul = gelu_mul,
                     .ring_to_linear = ring_to_linear,
                     .linear_to_ring = linear_to_ring,
                     .sample = sample,
                     .close = close_ops};
  return WEIR_OK;
}

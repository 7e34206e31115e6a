/* SPDX-License-Identifier: MIT */

/* What a Gemma step does to rows and heads, on the stand-in driver and on the CPU, against
 * the formulas of ops.h in f64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gemma_target.h"

#define EPSILON 1e-6f

static double factor_of(const double *x, size_t width) {
  double sum = 0;
  for (size_t i = 0; i < width; i++) sum += x[i] * x[i];
  return 1 / sqrt(sum / (double)width + (double)EPSILON);
}

/* ---- embed -------------------------------------------------------------- */

static const struct {
  uint32_t width, group, rows, position;
  weir_form form;
  weir_type scale, zero;
} tables[] = {
    {640, 32, 1, 0, WEIR_FORM_ZERO, WEIR_F16, WEIR_NONE},
    {5376, 256, 2, 7, WEIR_FORM_ZERO, WEIR_F32, WEIR_S8},
    {32, 16, 5, 1, WEIR_FORM_MIN, WEIR_BF16, WEIR_BF16},
    {264, 264, 3, 2, WEIR_FORM_ZERO, WEIR_F32, WEIR_F32},
    {8192, 64, 2, 3, WEIR_FORM_MIN, WEIR_F16, WEIR_F16},
};
enum { TABLES = sizeof tables / sizeof tables[0], TABLE_ROWS = 9, WINDOW = 4 };

static size_t size_of(weir_type type) { return type == WEIR_F32 ? 4 : type == WEIR_S8 ? 1 : type == WEIR_NONE ? 0 : 2; }

/* Small multiples of a power of two, which every type holds. */
static double put_number(void *to, size_t i, weir_type type, int n) {
  float value = type == WEIR_S8 ? (float)n : (float)n / 64;
  uint16_t half = 0;
  if (type == WEIR_F16 && n) {
    int exponent;
    double mantissa = frexp(fabs((double)value), &exponent);
    half = (uint16_t)((n < 0) << 15 | (exponent + 14) << 10 | (int)((mantissa * 2 - 1) * 1024));
  }
  if (type == WEIR_BF16) half = bf16(value);
  if (type == WEIR_F32) ((float *)to)[i] = value;
  else if (type == WEIR_S8) ((int8_t *)to)[i] = (int8_t)n;
  else if (type != WEIR_NONE) ((uint16_t *)to)[i] = half;
  return type == WEIR_NONE ? 0 : value;
}

static void embed_case(target *t, int which) {
  const uint32_t width = tables[which].width, rows = tables[which].rows, groups = width / tables[which].group;
  int8_t *codes = malloc((size_t)TABLE_ROWS * width);
  void *scales = malloc((size_t)4 * TABLE_ROWS * groups), *zeros = malloc((size_t)4 * TABLE_ROWS * groups);
  double *value = malloc(sizeof *value * TABLE_ROWS * width);
  float *norm = malloc(sizeof *norm * width), *h = malloc(sizeof *h * rows * width);
  void *x = malloc(4 * (size_t)rows * width);
  for (size_t n = 0; n < TABLE_ROWS; n++)
    for (size_t g = 0; g < groups; g++) {
      double scale = put_number(scales, n * groups + g, tables[which].scale, rand() % 15 - 7);
      double zero = put_number(zeros, n * groups + g, tables[which].zero, rand() % 15 - 7);
      for (size_t i = n * width + g * tables[which].group, j = 0; j < tables[which].group; j++, i++) {
        codes[i] = (int8_t)(rand() % 256 - 128);
        value[i] = tables[which].form == WEIR_FORM_MIN ? scale * codes[i] + zero : scale * (codes[i] - zero);
      }
    }
  random_values(norm, width, 3);
  int32_t tokens[32];
  for (int i = 0; i < 32; i++) tokens[i] = (i * 7 + 3) % TABLE_ROWS;
  gemma_state state = {.position = (int32_t)tables[which].position, .kv_len_full = -1, .kv_len_ring = -1, .reserved = 77};
  gemma_table table = {.desc = {.op = WEIR_OP_INT8_MATVEC,
                                .n = TABLE_ROWS,
                                .k = width,
                                .group = tables[which].group,
                                .form = tables[which].form,
                                .scale_type = tables[which].scale,
                                .zero_type = tables[which].zero}};
  size_t scale_bytes = TABLE_ROWS * groups * size_of(tables[which].scale), zero_bytes = TABLE_ROWS * groups * size_of(tables[which].zero);
  void *device_codes = target_put(t, codes, (size_t)TABLE_ROWS * width), *device_scales = target_put(t, scales, scale_bytes);
  void *device_zeros = zero_bytes ? target_put(t, zeros, zero_bytes) : NULL, *device_norm = target_put(t, norm, 4 * width);
  void *device_tokens = target_put(t, tokens, sizeof tokens), *device_state = target_put(t, &state, sizeof state);
  void *device_h = target_put(t, NULL, 4 * rows * width), *device_x = target_put(t, NULL, target_x_size(t) * rows * width);
  table.codes = device_codes;
  table.scales = device_scales;
  table.zeros = device_zeros;
  ASSERT_OK(t->ops->embed(t->ops, &table, device_tokens, rows, WINDOW, device_norm, EPSILON, device_state, device_h, device_x, NULL));
  target_take(t, device_h, 4 * rows * width, h);
  target_take(t, device_x, target_x_size(t) * rows * width, x);
  target_take(t, device_state, sizeof state, &state);
  void *inputs[] = {device_codes, device_scales, device_zeros, device_norm, device_tokens};
  for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) weir_memory_free(t->device, inputs[i]);

  int32_t length = (int32_t)(tables[which].position + rows);
  ck_assert_int_eq(state.position, (int)tables[which].position);
  ck_assert_int_eq(state.kv_len_full, length);
  ck_assert_int_eq(state.kv_len_ring, length < WINDOW ? length : WINDOW);
  ck_assert_int_eq(state.reserved, 77);
  for (size_t r = 0; r < rows; r++) {
    double *row = value + (size_t)tokens[tables[which].position + r] * width;
    double want[8192];
    for (size_t i = 0; i < width; i++) want[i] = row[i] * sqrt((double)width);
    double factor = factor_of(want, width);
    for (size_t i = 0; i < width; i++) {
      ASSERT_NEAR(h[r * width + i], want[i], false, 1e-9, r * width + i);
      ASSERT_NEAR(target_x(t, x, r * width + i), want[i] * factor * (double)norm[i], t->is_cuda, 1e-9, r * width + i);
    }
  }
  void *all[] = {codes, scales, zeros, value, norm, h, x};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

START_TEST(test_embed) {
  target t;
  target_open(&t, _i, 8, 100);
  for (int i = 0; i < TABLES; i++) embed_case(&t, i);
  target_close(&t);
}
END_TEST

/* ---- add_norm ----------------------------------------------------------- */

static void add_norm_case(target *t, uint32_t rows, uint32_t x_rows, uint32_t width, float scale, size_t bad) {
  size_t count = (size_t)rows * width, x_count = (size_t)x_rows * width, first = rows - x_rows;
  float *y = malloc(4 * count), *h = malloc(4 * count), *got = malloc(4 * count);
  float *post = malloc(4 * width), *next = malloc(4 * width);
  void *x = malloc(4 * x_count + 1);
  random_values(y, count, 20);
  random_values(h, count, 100);
  random_values(post, width, 2);
  random_values(next, width, 4);
  if (bad < count) y[bad] = NAN;
  void *device_y = target_put(t, y, 4 * count), *device_h = target_put(t, h, 4 * count);
  void *device_post = target_put(t, post, 4 * width), *device_next = target_put(t, next, 4 * width);
  void *device_scale = target_put(t, &scale, 4), *device_x = target_put(t, NULL, target_x_size(t) * x_count);
  ASSERT_OK(t->ops->add_norm(t->ops, rows, x_rows, width, device_y, device_post, scale == 1 ? NULL : device_scale, device_next,
                             EPSILON, device_h, device_x, NULL));
  target_take(t, device_h, 4 * count, got);
  target_take(t, device_x, target_x_size(t) * x_count, x);
  void *inputs[] = {device_y, device_post, device_next, device_scale};
  for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) weir_memory_free(t->device, inputs[i]);
  for (size_t r = 0; r < rows; r++) {
    double of_y[8192], want[8192];
    for (size_t i = 0; i < width; i++) of_y[i] = (double)y[r * width + i];
    double factor = factor_of(of_y, width);
    for (size_t i = 0; i < width; i++) want[i] = ((double)h[r * width + i] + of_y[i] * factor * (double)post[i]) * (double)scale;
    for (size_t i = 0; i < width; i++) ASSERT_NEAR(got[r * width + i], want[i], false, 2e-5, r * width + i);
    if (r < first) continue;
    factor = factor_of(want, width);
    for (size_t i = 0; i < width; i++)
      ASSERT_NEAR(target_x(t, x, (r - first) * width + i), want[i] * factor * (double)next[i], t->is_cuda, 1e-5, i);
  }
  void *all[] = {y, h, got, post, next, x};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

START_TEST(test_add_norm) {
  target t;
  target_open(&t, _i, 8, 100);
  static const uint32_t widths[] = {8, 136, 264, 640, 5376, 8192};
  for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
    add_norm_case(&t, 1, 1, widths[i], 1, SIZE_MAX);
    add_norm_case(&t, 3, 2, widths[i], 0.25f, SIZE_MAX);
  }
  add_norm_case(&t, 7, 0, 64, 2, SIZE_MAX);
  add_norm_case(&t, 5, 5, 320, 1, 2 * 320 + 319); /* NaN in one row stays there */
  target_close(&t);
}
END_TEST

/* ---- rope_append -------------------------------------------------------- */

/* Which of q, k and v are side by side, row for row. */
typedef enum joint { NONE, Q_K, Q_K_V } joint;

typedef struct heads_case {
  uint32_t head_dim, q_heads, kv_heads, pairs, rows;
  int32_t position;
  uint32_t slots, ring;
  int32_t first_slot;
  bool v_is_k, has_v_norm;
  joint joint;
} heads_case;

static const heads_case heads[] = {
    {64, 4, 2, 32, 1, 0, 8, 0, -1, false, false, NONE},
    {128, 3, 1, 64, 5, 131000, 16, 16, 0, false, true, NONE},
    {128, 3, 1, 64, 5, 131000, 16, 16, 0, false, true, Q_K_V},
    {256, 4, 4, 128, 3, 6, 8, 8, 0, false, false, Q_K},
    {256, 32, 16, 128, 1, 5000, 8, 8, 0, false, true, Q_K_V},
    {256, 8, 1, 128, 19, 1023, 40, 0, 21, false, true, NONE},
    {256, 8, 1, 128, 19, 1023, 40, 0, 21, false, true, Q_K_V},
    {512, 8, 2, 64, 2, 9, 12, 0, -1, true, true, NONE},
    {512, 8, 2, 64, 2, 9, 12, 0, -1, true, true, Q_K},
    {512, 32, 4, 64, 1, 262000, 8, 8, 0, true, true, NONE},
    {72, 2, 1, 36, 7, 3, 4, 4, 0, true, false, Q_K},
    {80, 1, 1, 0, 3, 1, 4, 0, -1, false, false, Q_K_V},
    {256, 2, 1, 128, 9, 0, 5, 0, -1, false, false, NONE}, /* more rows than slots: only if the host errs */
};
enum { HEADS = sizeof heads / sizeof heads[0] };

/* A head after its norm (weight null: 1; with no norm the value itself) and rotation, with
 * what the rotation may be wrong by. */
static void make_head(const float *in, const float *weight, bool has_norm, const float *frequencies, const heads_case *c,
                      int32_t position, double *out, double *out_slack) {
  double x[512];
  for (uint32_t i = 0; i < c->head_dim; i++) x[i] = (double)in[i];
  double factor = has_norm ? factor_of(x, c->head_dim) : 1;
  for (uint32_t i = 0; i < c->head_dim; i++) {
    out[i] = x[i] * factor * (weight ? (double)weight[i] : 1);
    out_slack[i] = 0;
  }
  for (uint32_t i = 0; frequencies && i < c->pairs; i++) {
    double angle = (double)((float)position * frequencies[i]), a = out[i], b = out[i + c->head_dim / 2];
    out[i] = a * cos(angle) - b * sin(angle);
    out[i + c->head_dim / 2] = b * cos(angle) + a * sin(angle);
    out_slack[i] = out_slack[i + c->head_dim / 2] = 2e-6 * (fabs(a) + fabs(b));
  }
}

static void check_head(const uint16_t *got, const double *want, const double *slack, uint32_t head_dim, const char *what, size_t at) {
  for (uint32_t i = 0; i < head_dim; i++)
    ck_assert_msg(is_near(bf16_value(got[i]), want[i], true, slack[i]), "%s %u, element %u is %.9g, not %.9g", what, (unsigned)at, i,
                  bf16_value(got[i]), want[i]);
}

static int32_t slot_of(const heads_case *c, uint32_t row) {
  int32_t position = c->position + (int32_t)row;
  return c->ring ? position % (int32_t)c->ring : c->first_slot >= 0 ? c->first_slot + (int32_t)row : position;
}

/* Where the first row begins, and how far apart rows are. */
typedef struct rows_at {
  size_t first;
  uint32_t stride;
} rows_at;

static void place_rows(const heads_case *c, rows_at *q, rows_at *k, rows_at *v) {
  uint32_t width = c->q_heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
  uint32_t all = width + kv_width + (c->joint == Q_K_V ? kv_width : 0);
  *q = (rows_at){0, c->joint == NONE ? width : all};
  *k = c->joint == NONE ? (rows_at){(size_t)c->rows * width, kv_width} : (rows_at){width, all};
  *v = c->joint == Q_K_V ? (rows_at){width + kv_width, all} : (rows_at){(size_t)c->rows * (width + kv_width), kv_width};
  if (c->v_is_k) *v = *k;
}

static void rope_case(target *t, const heads_case *c) {
  size_t d = c->head_dim, q_count = c->rows * c->q_heads * d, slots = c->kv_heads * c->slots;
  size_t count = q_count + 2 * c->rows * c->kv_heads * d;
  rows_at q, k, v;
  place_rows(c, &q, &k, &v);
  float *y = malloc(4 * count);
  float q_norm[512], k_norm[512], frequencies[256];
  uint16_t *got_q = malloc(2 * q_count), *got_k = malloc(2 * slots * d), *got_v = malloc(2 * slots * d);
  random_values(y, count, 5);
  random_values(q_norm, d, 2);
  random_values(k_norm, d, 2);
  for (uint32_t i = 0; i < d / 2; i++) frequencies[i] = i < c->pairs ? (float)pow(10000, -2.0 * i / (double)d) : 0;
  gemma_layer layer = {.v_is_k = c->v_is_k, .kv_heads = c->kv_heads, .head_dim = c->head_dim, .rope_pairs = c->pairs};
  gemma_state state = {.position = c->position};
  float *device_y = target_put(t, y, 4 * count);
  void *device_q_norm = target_put(t, q_norm, 4 * d), *device_k_norm = target_put(t, k_norm, 4 * d);
  void *device_frequencies = target_put(t, frequencies, 2 * d), *device_state = target_put(t, &state, sizeof state);
  void *out_q = target_put(t, NULL, 2 * q_count), *out_k = target_put(t, NULL, 2 * slots * d), *out_v = target_put(t, NULL, 2 * slots * d);
  gemma_rope_args args = {.layer = &layer,
                          .q_heads = c->q_heads,
                          .epsilon = EPSILON,
                          .has_v_norm = c->has_v_norm,
                          .q_norm = device_q_norm,
                          .k_norm = device_k_norm,
                          .inverse_frequencies = device_frequencies,
                          .q = device_y + q.first,
                          .k = device_y + k.first,
                          .v = device_y + v.first,
                          .q_stride = q.stride,
                          .k_stride = k.stride,
                          .v_stride = v.stride,
                          .out_q = out_q,
                          .out_k = out_k,
                          .out_v = out_v,
                          .slots = c->slots,
                          .ring = c->ring,
                          .first_slot = c->first_slot};
  ASSERT_OK(t->ops->rope_append(t->ops, c->rows, &args, device_state, NULL));
  target_take(t, out_q, 2 * q_count, got_q);
  target_take(t, out_k, 2 * slots * d, got_k);
  target_take(t, out_v, 2 * slots * d, got_v);
  void *inputs[] = {device_y, device_q_norm, device_k_norm, device_frequencies, device_state};
  for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) weir_memory_free(t->device, inputs[i]);

  double want[512], slack[512];
  for (size_t r = 0; r < c->rows; r++)
    for (size_t g = 0; g < c->q_heads; g++) {
      size_t at = r * c->q_heads + g;
      make_head(y + q.first + r * q.stride + g * d, q_norm, true, frequencies, c, c->position + (int32_t)r, want, slack);
      check_head(got_q + at * d, want, slack, c->head_dim, "q head", at);
    }
  for (size_t g = 0; g < c->kv_heads; g++)
    for (size_t slot = 0; slot < c->slots; slot++) {
      size_t to = (g * c->slots + slot) * d;
      int row = -1; /* the last that went here */
      for (uint32_t r = 0; r < c->rows; r++)
        if (slot_of(c, r) == (int32_t)slot) row = (int)r;
      if (row < 0) {
        for (size_t i = to; i < to + d; i++) ck_assert_msg(got_k[i] == 0xffff && got_v[i] == 0xffff, "slot %u was written", (unsigned)slot);
        continue;
      }
      make_head(y + k.first + (size_t)row * k.stride + g * d, k_norm, true, frequencies, c, c->position + row, want, slack);
      check_head(got_k + to, want, slack, c->head_dim, "slot of K", slot);
      make_head(y + v.first + (size_t)row * v.stride + g * d, NULL, c->has_v_norm, NULL, c, 0, want, slack);
      check_head(got_v + to, want, slack, c->head_dim, "slot of V", slot);
    }
  void *all[] = {y, got_q, got_k, got_v};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

START_TEST(test_rope_append) {
  target t;
  target_open(&t, _i, 32, 100);
  for (int i = 0; i < HEADS - !t.is_cuda; i++) rope_case(&t, &heads[i]);
  target_close(&t);
}
END_TEST

/* ---- gelu_mul ----------------------------------------------------------- */

START_TEST(test_gelu_mul) {
  target t;
  target_open(&t, _i, 8, 100);
  static const struct {
    uint32_t rows, width, stride;
  } shapes[] = {{1, 8, 8}, {1, 2048, 4096}, {3, 520, 520}, {3, 520, 1040}, {7, 24, 24}, {7, 24, 52}};
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
    static float gate[8192], up[8192], x[4096];
    static const float special[] = {0, -0.0f, 30, -30, 1e10f, -1e10f, NAN, INFINITY};
    size_t width = shapes[s].width, stride = shapes[s].stride, x_count = shapes[s].rows * width, count = shapes[s].rows * stride;
    random_values(gate, count, 8);
    random_values(up, count, 3);
    memcpy(gate, special, sizeof special);
    void *device_gate = target_put(&t, gate, 4 * count), *device_up = target_put(&t, up, 4 * count);
    void *device_x = target_put(&t, NULL, target_x_size(&t) * x_count);
    ASSERT_OK(t.ops->gelu_mul(t.ops, shapes[s].rows, shapes[s].width, device_gate, device_up, shapes[s].stride, device_x, NULL));
    target_take(&t, device_x, target_x_size(&t) * x_count, x);
    weir_memory_free(t.device, device_gate);
    weir_memory_free(t.device, device_up);
    for (size_t i = 0; i < x_count; i++) {
      size_t from = i / width * stride + i % width;
      double g = (double)gate[from], want = g / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g))) * (double)up[from];
      ASSERT_NEAR(target_x(&t, x, i), want, t.is_cuda, 2e-6 * fabs((double)up[from]), i);
    }
  }
  target_close(&t);
}
END_TEST

/* ---- Rings -------------------------------------------------------------- */

enum { RING = 6, RING_HEADS = 3, RING_D = 72, SLOTS = 15 };

/* Names the token, the head and the element, and K or V. */
static uint16_t content(int token, size_t head, size_t i, bool is_v) {
  return (uint16_t)(token * 512 + (int)head * 128 + (int)(i % 64) * 2 + is_v);
}

/* ring_to_linear of `count` tokens before `position`, then `rows` are put behind them, and
 * linear_to_ring of the last `back` of all. */
static void ring_case(target *t, int position, uint32_t count, uint32_t rows, uint32_t back) {
  static uint16_t ring[2][RING_HEADS][RING][RING_D], linear[2][RING_HEADS][SLOTS][RING_D];
  for (int v = 0; v < 2; v++)
    for (size_t g = 0; g < RING_HEADS; g++)
      for (int slot = 0; slot < RING; slot++)
        for (size_t i = 0; i < RING_D; i++) {
          int token = position - 1 - (position - 1 - slot + RING * 100) % RING;
          ring[v][g][slot][i] = token >= 0 ? content(token, g, i, v) : 0xffff;
        }
  gemma_layer layer = {.kv_heads = RING_HEADS, .head_dim = RING_D};
  gemma_state state = {.position = position};
  void *device_state = target_put(t, &state, sizeof state), *device_ring[2], *device_linear[2];
  for (int v = 0; v < 2; v++) {
    device_ring[v] = target_put(t, ring[v], sizeof ring[v]);
    device_linear[v] = target_put(t, NULL, sizeof linear[v]);
  }
  ASSERT_OK(t->ops->ring_to_linear(t->ops, &layer, RING, SLOTS, count, device_ring[0], device_ring[1], device_state,
                                   device_linear[0], device_linear[1], NULL));
  for (int v = 0; v < 2; v++) {
    target_read(t, device_linear[v], sizeof linear[v], linear[v]);
    for (size_t g = 0; g < RING_HEADS; g++)
      for (uint32_t slot = 0; slot < SLOTS; slot++)
        for (size_t i = 0; i < RING_D; i++) {
          uint16_t want = slot < count ? content(position - (int)count + (int)slot, g, i, v) : 0xffff;
          ck_assert_uint_eq(linear[v][g][slot][i], want);
          if (slot >= count && slot < count + rows) linear[v][g][slot][i] = content(position + (int)(slot - count), g, i, v);
        }
    ASSERT_OK(weir_memory_upload(t->device, device_linear[v], linear[v], sizeof linear[v], NULL));
  }
  ASSERT_OK(t->ops->linear_to_ring(t->ops, &layer, RING, SLOTS, count + rows - back, back, rows, device_linear[0], device_linear[1],
                                   device_state, device_ring[0], device_ring[1], NULL));
  int end = position + (int)rows;
  for (int v = 0; v < 2; v++) {
    target_take(t, device_ring[v], sizeof ring[v], ring[v]);
    target_take(t, device_linear[v], sizeof linear[v], NULL);
    for (size_t g = 0; g < RING_HEADS; g++)
      for (int slot = 0; slot < RING; slot++)
        for (size_t i = 0; i < RING_D; i++) {
          int token = end - 1 - (end - 1 - slot + RING * 100) % RING;
          ck_assert_uint_eq(ring[v][g][slot][i], token >= 0 ? content(token, g, i, v) : 0xffff);
        }
  }
  target_take(t, device_state, sizeof state, NULL);
}

START_TEST(test_rings) {
  target t;
  target_open(&t, _i, 8, 100);
  ring_case(&t, 0, 0, 3, 3);
  ring_case(&t, 3, 3, 8, 6);
  ring_case(&t, 3, 3, 8, 8); /* more than the ring holds: the latest stay */
  ring_case(&t, 4, 4, 1, 1);
  ring_case(&t, 20, 5, 4, 4);
  ring_case(&t, 17, 5, 8, 6);
  target_close(&t);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("gemma operations");
  TCase *rows = tcase_create("rows"), *of_heads = tcase_create("heads");
  tcase_set_timeout(rows, 120);
  tcase_set_timeout(of_heads, 120);
  tcase_add_loop_test(rows, test_embed, 0, TARGETS);
  tcase_add_loop_test(rows, test_add_norm, 0, TARGETS);
  tcase_add_loop_test(rows, test_gelu_mul, 0, TARGETS);
  suite_add_tcase(suite, rows);
  tcase_add_loop_test(of_heads, test_rope_append, 0, TARGETS);
  tcase_add_loop_test(of_heads, test_rings, 0, TARGETS);
  suite_add_tcase(suite, of_heads);
  return run_suite(suite);
}

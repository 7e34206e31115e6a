/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_vectors.h"
#include "support.h"

enum { INT4 = WEIR_OP_INT4_MATVEC, INT8 = WEIR_OP_INT8_MATVEC };
enum { F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q4_K = 12, Q5_K = 13, Q6_K = 14, BF16 = 30 };

static const struct {
  uint32_t type, block, bytes;
  uint32_t halves[2]; /* where the f16 scale and min stand; the same twice if there is no min */
  bool is_int4;
} quantised[] = {
    {Q4_0, 32, 18, {0, 0}, true},       {Q4_1, 32, 20, {0, 2}, true},  {Q5_0, 32, 22, {0, 0}, false},
    {Q5_1, 32, 24, {0, 2}, false},      {Q8_0, 32, 34, {0, 0}, false}, {Q4_K, 256, 144, {0, 2}, true},
    {Q5_K, 256, 176, {0, 2}, false},    {Q6_K, 256, 210, {208, 208}, false},
};
enum { QUANTISED = sizeof quantised / sizeof quantised[0] };

/* ---- Numbers, independently of the library ---- */

static uint32_t random_state = 12345;
static uint32_t random_bits(void) {
  uint64_t product = (uint64_t)(random_state += 0x9e3779b9u) * 0xd1342543de82ef95u;
  return (uint32_t)(product >> 29);
}

static double half_value(uint16_t half) {
  int exponent = half >> 10 & 31, fraction = half & 1023;
  double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                 : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                : ldexp(fraction, -24);
  return half & 0x8000 ? -value : value;
}

static uint16_t half_bits(float value) { /* exact values only */
  for (uint32_t bits = 0; bits < 65536; bits++)
    if (half_value((uint16_t)bits) == (double)value) return (uint16_t)bits;
  abort();
}

static uint32_t float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* ---- Tensors and what they become ---- */

static weir_tensor tensor_of(uint32_t type, uint64_t k, uint64_t n, const void *data, uint64_t bytes) {
  return (weir_tensor){.struct_size = sizeof(weir_tensor), .type = type, .name = "w", .dim_count = 2,
                       .dims = {k, n, 1, 1}, .data = data, .bytes = bytes};
}

/* Random blocks whose scales are ordinary numbers of either sign. */
static weir_tensor random_quantised(size_t which, uint32_t k, uint32_t n) {
  size_t blocks = (size_t)k / quantised[which].block * n, size = blocks * quantised[which].bytes;
  uint8_t *data = malloc(size);
  for (size_t i = 0; i < size; i++) data[i] = (uint8_t)random_bits();
  for (size_t b = 0; b < blocks; b++)
    for (int i = 0; i < 2; i++) {
      uint8_t *half = data + b * quantised[which].bytes + quantised[which].halves[i];
      uint32_t bits = (random_bits() & 0x83ff) | (5 + random_bits() % 12) << 10;
      half[0] = (uint8_t)bits;
      half[1] = (uint8_t)(bits >> 8);
    }
  return tensor_of(quantised[which].type, k, n, data, size);
}

struct imported {
  weir_matvec_desc desc;
  void *codes, *scales, *zeros;
  weir_import_error error;
};

static struct imported import(const weir_tensor *tensor, weir_op op) {
  struct imported m = {.desc = {.struct_size = sizeof m.desc, .m_max = 7, .x_type = WEIR_BF16},
                       .error = {.struct_size = sizeof m.error, .max_abs = 9, .rms = 9}};
  ASSERT_OK(weir_import_describe(tensor, op, &m.desc));
  ck_assert_uint_eq(m.desc.m_max, 7);
  ck_assert_uint_eq(m.desc.x_type, WEIR_BF16);
  size_t weights = (size_t)m.desc.n * m.desc.k, groups = weights / m.desc.group;
  size_t size = m.desc.scale_type == WEIR_F32 ? 4 : 2;
  m.codes = malloc(m.desc.op == INT4 ? weights / 2 : weights);
  m.scales = malloc(groups * size);
  m.zeros = m.desc.zero_type == WEIR_NONE ? NULL : malloc(groups * size);
  ASSERT_OK(weir_import_rows(tensor, &m.desc, 0, m.desc.n, m.codes, m.scales, m.zeros, &m.error));
  return m;
}

static void imported_free(struct imported *m) {
  free(m->codes);
  free(m->scales);
  free(m->zeros);
}

static double plane_value(const void *plane, weir_type type, size_t index) {
  return type == WEIR_F32 ? (double)((const float *)plane)[index] : half_value(((const uint16_t *)plane)[index]);
}

/* Weight i of row n by the contract of weir_matvec_desc. */
static double canonical(const struct imported *m, size_t n, size_t i) {
  const weir_matvec_desc *desc = &m->desc;
  size_t at = n * desc->k + i, group = at / desc->group;
  int code = ((const int8_t *)m->codes)[desc->op == INT4 ? 0 : at];
  if (desc->op == INT4) code = ((const uint8_t *)m->codes)[at / 2] >> (at % 2 * 4) & 15;
  double scale = plane_value(m->scales, desc->scale_type, group);
  if (desc->form == WEIR_FORM_MIN) return scale * code + plane_value(m->zeros, desc->zero_type, group);
  return scale * (code - (desc->op == INT4 ? 8 : 0));
}

static float *rows_of(const weir_tensor *tensor, uint64_t n0, uint64_t n1) {
  float *rows = malloc((size_t)((n1 - n0) * tensor->dims[0]) * sizeof *rows);
  ASSERT_OK(weir_tensor_rows(tensor, n0, n1, rows));
  return rows;
}

/* ---- Exact types ---- */

static uint32_t hex(const char *digits, int count) {
  char text[9] = {0};
  memcpy(text, digits, (size_t)count);
  return (uint32_t)strtoul(text, NULL, 16);
}

START_TEST(blocks_have_the_published_weights) {
  const struct import_vector *v = &import_vectors[_i];
  uint8_t data[256];
  ck_assert_uint_eq(strlen(v->data), 2 * v->bytes);
  ck_assert_uint_eq(strlen(v->weights), 8 * v->block);
  for (uint32_t i = 0; i < v->bytes; i++) data[i] = (uint8_t)hex(v->data + 2 * i, 2);
  weir_tensor tensor = tensor_of(v->type, v->block, 1, data, v->bytes);
  float *rows = rows_of(&tensor, 0, 1);
  struct imported best = import(&tensor, 0), int8 = import(&tensor, INT8);
  for (uint32_t i = 0; i < v->block; i++) {
    uint32_t want = hex(v->weights + 8 * i, 8);
    ck_assert_uint_eq(float_bits(rows[i]), want);
    ck_assert_uint_eq(float_bits((float)canonical(&best, 0, i)), want);
    ck_assert_uint_eq(float_bits((float)canonical(&int8, 0, i)), want);
  }
  ck_assert_double_eq(best.error.max_abs, 0);
  ck_assert_double_eq(best.error.rms, 0);
  imported_free(&best);
  imported_free(&int8);
  free(rows);
}
END_TEST

/* A Q4_0 block worked out by hand: scale -0.5, low nibbles first. */
START_TEST(a_block_by_hand) {
  uint8_t data[18] = {0x00, 0xb8};
  for (int j = 0; j < 16; j++) data[2 + j] = (uint8_t)(j | (15 - j) << 4);
  weir_tensor tensor = tensor_of(Q4_0, 32, 1, data, sizeof data);
  struct imported m = import(&tensor, INT4);
  const uint8_t *codes = m.codes;
  float *rows = rows_of(&tensor, 0, 1);
  for (int j = 0; j < 16; j++) {
    ck_assert_float_eq(rows[j], -0.5f * (float)(j - 8));
    ck_assert_float_eq(rows[16 + j], -0.5f * (float)(7 - j));
  }
  ck_assert_uint_eq(codes[0], 0x10);
  ck_assert_uint_eq(codes[7], 0xfe);
  ck_assert_uint_eq(codes[8], 0xef);
  ck_assert_uint_eq(codes[15], 0x01);
  ck_assert_uint_eq(*(uint16_t *)m.scales, 0xb800);
  free(rows);
  imported_free(&m);
}
END_TEST

/* The weights of tensor and imported matrix are equal, all rows at once or in pieces. */
START_TEST(exact_imports_are_exact) {
  weir_tensor tensor = random_quantised((size_t)_i, 512, 13);
  float *rows = rows_of(&tensor, 0, 13), *two = rows_of(&tensor, 5, 7);
  ck_assert_mem_eq(two, rows + 5 * 512, 2 * 512 * sizeof *rows);
  for (weir_op op = quantised[_i].is_int4 ? INT4 : INT8; op <= INT8; op++) {
    struct imported m = import(&tensor, op);
    uint32_t wrong = 0;
    for (uint32_t n = 0; n < 13; n++)
      for (uint32_t i = 0; i < 512; i++) wrong += (float)canonical(&m, n, i) != rows[n * 512 + i];
    ck_assert_uint_eq(wrong, 0);
    ck_assert_double_eq(m.error.max_abs, 0);
    ck_assert_double_eq(m.error.rms, 0);

    static const uint32_t cuts[] = {0, 1, 1, 6, 13};
    size_t row_codes = op == INT4 ? 256 : 512;
    size_t row_scales = 512 / m.desc.group * (m.desc.scale_type == WEIR_F32 ? 4 : 2);
    struct imported pieces = import(&tensor, op);
    memset(pieces.codes, 0xee, 13 * row_codes);
    memset(pieces.scales, 0xee, 13 * row_scales);
    if (pieces.zeros) memset(pieces.zeros, 0xee, 13 * row_scales);
    for (size_t c = 0; c + 1 < sizeof cuts / sizeof cuts[0]; c++) {
      char *zeros = pieces.zeros ? (char *)pieces.zeros + cuts[c] * row_scales : NULL;
      ASSERT_OK(weir_import_rows(&tensor, &m.desc, cuts[c], cuts[c + 1], (char *)pieces.codes + cuts[c] * row_codes,
                                 (char *)pieces.scales + cuts[c] * row_scales, zeros, NULL));
    }
    ck_assert(memcmp(pieces.codes, m.codes, 13 * row_codes) == 0);
    ck_assert(memcmp(pieces.scales, m.scales, 13 * row_scales) == 0);
    if (m.zeros) ck_assert(memcmp(pieces.zeros, m.zeros, 13 * row_scales) == 0);
    imported_free(&pieces);
    imported_free(&m);
  }
  free(two);
  free(rows);
  free((void *)(uintptr_t)tensor.data);
}
END_TEST

/* A NaN or infinite scale stays one; its neighbours stay finite. */
START_TEST(odd_scales_pass_through) {
  static const uint16_t odd[] = {0x7e00, 0xfe00, 0x7c00, 0xfc00, 0x0001, 0x8000};
  for (size_t o = 0; o < sizeof odd / sizeof odd[0]; o++) {
    weir_tensor tensor = random_quantised((size_t)_i, 512, 1);
    uint32_t block = quantised[_i].block;
    uint8_t *scale = (uint8_t *)(uintptr_t)tensor.data + quantised[_i].bytes + quantised[_i].halves[0];
    scale[0] = (uint8_t)odd[o];
    scale[1] = (uint8_t)(odd[o] >> 8);
    float *row = rows_of(&tensor, 0, 1);
    for (weir_op op = quantised[_i].is_int4 ? INT4 : INT8; op <= INT8; op++) {
      struct imported m = import(&tensor, op);
      uint32_t wrong = 0, finite = 0;
      for (uint32_t i = 0; i < 512; i++) {
        float value = (float)canonical(&m, 0, i);
        wrong += !(value == row[i] || (isnan(value) && isnan(row[i])));
        finite += i >= block && i < 2 * block && isfinite(row[i]);
        if (i < block || i >= 2 * block) wrong += !isfinite(row[i]);
      }
      ck_assert_uint_eq(wrong, 0);
      ck_assert_uint_eq(finite, o < 4 ? 0 : block);
      imported_free(&m);
    }
    free(row);
    free((void *)(uintptr_t)tensor.data);
  }
}
END_TEST

START_TEST(every_half_is_converted) {
  static uint16_t bits[65536];
  for (uint32_t i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
  weir_tensor half = tensor_of(F16, 65536, 1, bits, sizeof bits), bf = tensor_of(BF16, 65536, 1, bits, sizeof bits);
  float *halves = rows_of(&half, 0, 1), *bfs = rows_of(&bf, 0, 1);
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < 65536; i++) {
    double want = half_value((uint16_t)i);
    wrong += isnan(want) ? !isnan(halves[i]) : halves[i] != (float)want || !signbit(halves[i]) != !signbit(want);
    wrong += float_bits(bfs[i]) != i << 16;
  }
  ck_assert_uint_eq(wrong, 0);
  free(bfs);
  free(halves);
}
END_TEST

/* ---- Descriptions ---- */

START_TEST(descriptions_follow_the_type) {
  static const struct {
    uint32_t type;
    weir_op op, got;
    uint32_t k, group;
    weir_form form;
    weir_type scale, zero;
  } cases[] = {
      {Q4_0, 0, INT4, 64, 32, WEIR_FORM_ZERO, WEIR_F16, WEIR_NONE},
      {Q4_1, 0, INT4, 64, 32, WEIR_FORM_MIN, WEIR_F16, WEIR_F16},
      {Q4_K, 0, INT4, 256, 32, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
      {Q5_0, 0, INT8, 64, 32, WEIR_FORM_ZERO, WEIR_F16, WEIR_NONE},
      {Q5_1, 0, INT8, 64, 32, WEIR_FORM_MIN, WEIR_F16, WEIR_F16},
      {Q5_K, 0, INT8, 256, 32, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
      {Q6_K, 0, INT8, 256, 16, WEIR_FORM_ZERO, WEIR_F32, WEIR_NONE},
      {Q8_0, 0, INT8, 64, 32, WEIR_FORM_ZERO, WEIR_F16, WEIR_NONE},
      {Q4_0, INT8, INT8, 64, 32, WEIR_FORM_ZERO, WEIR_F16, WEIR_NONE},
      {Q4_K, INT8, INT8, 256, 32, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
      {Q6_K, INT4, INT4, 256, 32, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
      {Q8_0, INT4, INT4, 64, 32, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
      {F32, 0, INT8, 64, 32, WEIR_FORM_ZERO, WEIR_F32, WEIR_NONE},
      {F16, 0, INT8, 48, 16, WEIR_FORM_ZERO, WEIR_F32, WEIR_NONE},
      {BF16, 0, INT8, 7, 7, WEIR_FORM_ZERO, WEIR_F32, WEIR_NONE},
      {F32, INT4, INT4, 34, 34, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
      {F16, INT4, INT4, 80, 16, WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    weir_tensor tensor = tensor_of(cases[i].type, cases[i].k, 3, NULL, 0);
    tensor.dim_count = 4; /* experts: all rows of all matrices */
    tensor.dims[2] = 5;
    tensor.dims[3] = 2;
    weir_matvec_desc desc = {.struct_size = sizeof desc, .zero_type = 77, .y_type = 5};
    ASSERT_OK(weir_import_describe(&tensor, cases[i].op, &desc));
    ck_assert_uint_eq(desc.op, cases[i].got);
    ck_assert_uint_eq(desc.n, 30);
    ck_assert_uint_eq(desc.k, cases[i].k);
    ck_assert_uint_eq(desc.group, cases[i].group);
    ck_assert_uint_eq(desc.form, cases[i].form);
    ck_assert_uint_eq(desc.scale_type, cases[i].scale);
    ck_assert_uint_eq(desc.zero_type, cases[i].zero);
    ck_assert_uint_eq(desc.y_type, 5);
  }
}
END_TEST

START_TEST(what_does_not_fit_is_refused) {
  static const float data[64] = {1};
  weir_matvec_desc desc = {.struct_size = sizeof desc, .n = 9, .y_type = 5};
  weir_tensor t = tensor_of(10, 256, 1, data, sizeof data);
  float row[64];
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_TYPE, "'w'", "Q2_K", "Q4_K", "Q8_0");
  ck_assert_uint_eq(desc.n, 0);
  ck_assert_uint_eq(desc.y_type, 5);
  ASSERT_FAILS(weir_tensor_rows(&t, 0, 1, row), WEIR_E_TYPE, "Q2_K");
  t.type = 99;
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_TYPE, "99");
  t = tensor_of(F32, 8, 8, data, sizeof data);
  t.dim_count = 1;
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_SHAPE, "'w'", "vector", "8");
  ASSERT_OK(weir_tensor_rows(&t, 0, 1, row));
  t = tensor_of(F32, 9, 7, data, sizeof data);
  ASSERT_FAILS(weir_import_describe(&t, INT4, &desc), WEIR_E_SHAPE, "9", "even");
  t = tensor_of(F32, 8, UINT64_C(1) << 32, data, sizeof data);
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_SHAPE, "4294967296");
  t = tensor_of(Q4_0, 48, 1, data, sizeof data);
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_SHAPE, "48", "32");
  t = tensor_of(F32, 8, 0, data, sizeof data);
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_SHAPE, "dims[1]", "0");
  t = tensor_of(F32, 8, 8, data, sizeof data);
  ASSERT_FAILS(weir_import_describe(&t, WEIR_OP_SDPA, &desc), WEIR_E_INVALID, "3", "sdpa");
  ASSERT_FAILS(weir_import_describe(NULL, 0, &desc), WEIR_E_NULL, "weir_tensor");
  ASSERT_FAILS(weir_import_describe(&t, 0, NULL), WEIR_E_NULL, "weir_matvec_desc");
  t.struct_size = 8;
  ASSERT_FAILS(weir_import_describe(&t, 0, &desc), WEIR_E_ABI, "weir_tensor", "8");

  int8_t codes[64];
  float scales[8], zeros[8];
  t = tensor_of(F32, 8, 8, data, sizeof data);
  ASSERT_OK(weir_import_describe(&t, 0, &desc));
  ASSERT_FAILS(weir_import_rows(&t, &desc, 0, 9, codes, scales, NULL, NULL), WEIR_E_INVALID, "[0,9)", "8");
  ASSERT_FAILS(weir_import_rows(&t, &desc, 3, 2, codes, scales, NULL, NULL), WEIR_E_INVALID, "[3,2)");
  ASSERT_FAILS(weir_import_rows(&t, &desc, 0, 8, NULL, scales, NULL, NULL), WEIR_E_NULL, "out_codes");
  ASSERT_FAILS(weir_import_rows(&t, &desc, 0, 8, codes, NULL, NULL, NULL), WEIR_E_NULL, "out_scales");
  ASSERT_FAILS(weir_import_rows(&t, &desc, 0, 8, codes, scales, zeros, NULL), WEIR_E_INVALID, "out_zeros");
  ASSERT_FAILS(weir_tensor_rows(&t, 7, 9, row), WEIR_E_INVALID, "[7,9)");
  ASSERT_FAILS(weir_tensor_rows(&t, 0, 1, NULL), WEIR_E_NULL, "out_rows");
  weir_matvec_desc other = desc;
  other.group = 4;
  ASSERT_FAILS(weir_import_rows(&t, &other, 0, 8, codes, scales, NULL, NULL), WEIR_E_INVALID, "group", "8", "4");
  other = desc;
  other.n = 7;
  ASSERT_FAILS(weir_import_rows(&t, &other, 0, 7, codes, scales, NULL, NULL), WEIR_E_SHAPE, "7", "8");
  other = desc;
  other.op = 0;
  ASSERT_FAILS(weir_import_rows(&t, &other, 0, 8, codes, scales, NULL, NULL), WEIR_E_INVALID, "op", "0");
  ASSERT_OK(weir_import_describe(&t, INT4, &other));
  ASSERT_FAILS(weir_import_rows(&t, &other, 0, 8, codes, scales, NULL, NULL), WEIR_E_NULL, "out_zeros");
  t.bytes = 255;
  ASSERT_FAILS(weir_import_rows(&t, &desc, 0, 8, codes, scales, NULL, NULL), WEIR_E_INVALID, "255", "256");
  t.data = NULL;
  ASSERT_FAILS(weir_tensor_rows(&t, 0, 8, row), WEIR_E_NULL, "data");
}
END_TEST

/* ---- Rounding ---- */

/* What the contract says of a rounded matrix: scales from the extremes of each
 * group, codes nearest, and errors reported as they are. */
static void check_rounding(const weir_tensor *tensor, weir_op op) {
  struct imported m = import(tensor, op);
  uint32_t k = m.desc.k, n = m.desc.n, group = m.desc.group;
  float *rows = rows_of(tensor, 0, n);
  double worst = 0, squares = 0;
  for (size_t g = 0; g < (size_t)n * k / group; g++) {
    const float *w = rows + g * group;
    double least = w[0], most = w[0], reach = 0;
    for (uint32_t i = 0; i < group; i++) {
      least = fmin(least, w[i]);
      most = fmax(most, w[i]);
      reach = fmax(reach, fabs((double)w[i]));
    }
    float scale = ((const float *)m.scales)[g];
    ck_assert(scale == (float)(op == INT4 ? (most - least) / 15 : reach / 127));
    if (op == INT4) ck_assert(((const float *)m.zeros)[g] == (float)least);
    for (uint32_t i = 0; i < group; i++) {
      double difference = fabs(canonical(&m, g * group / k, g * group % k + i) - w[i]);
      /* Half a step; where a subnormal scale was itself rounded, as much as 127 halves of its last bit more. */
      ck_assert(difference <= scale * 0.500001 + 128 * 0x1p-150);
      worst = fmax(worst, difference);
      squares += difference * difference;
    }
  }
  ck_assert_double_eq(m.error.max_abs, worst);
  ck_assert_double_le(fabs(m.error.rms - sqrt(squares / ((double)n * k))), 1e-12 * m.error.rms);
  free(rows);
  imported_free(&m);
}

static float *random_floats(size_t count, double size) {
  float *values = malloc(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = (float)(size * ((double)random_bits() / 0x1p31 - 1));
  return values;
}

START_TEST(floats_are_rounded_to_nearest) {
  static const uint32_t lengths[] = {64, 48, 34, 7, 1};
  static const double sizes[] = {1, 3e38, 1e-30, 1e-43, 0};
  for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
      uint32_t k = lengths[l];
      float *values = random_floats((size_t)k * 5, sizes[s]);
      weir_tensor tensor = tensor_of(F32, k, 5, values, (uint64_t)k * 20);
      check_rounding(&tensor, INT8);
      if (k % 2 == 0) check_rounding(&tensor, INT4);
      uint16_t *halves = malloc((size_t)k * 10);
      for (size_t i = 0; i < (size_t)k * 5; i++) halves[i] = (uint16_t)(random_bits() & 0xbfff);
      tensor = tensor_of(F16, k, 5, halves, (uint64_t)k * 10);
      check_rounding(&tensor, INT8);
      tensor.type = BF16;
      if (k % 2 == 0) check_rounding(&tensor, INT4);
      free(halves);
      free(values);
    }
}
END_TEST

START_TEST(other_types_are_rounded_to_int4) {
  if (quantised[_i].is_int4) return;
  weir_tensor tensor = random_quantised((size_t)_i, 512, 7);
  check_rounding(&tensor, INT4);
  free((void *)(uintptr_t)tensor.data);
}
END_TEST

/* Ties go to the even code, equal weights come out exact, extremes are kept. */
START_TEST(rounding_by_hand) {
  float values[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, -127};
  weir_tensor tensor = tensor_of(F32, 32, 1, values, sizeof values);
  struct imported m = import(&tensor, INT8);
  static const int8_t want[8] = {127, 0, 2, 2, 0, -2, -126, -127};
  ck_assert_mem_eq(m.codes, want, sizeof want);
  ck_assert_float_eq(*(float *)m.scales, 1);
  ck_assert_double_eq(m.error.max_abs, 0.5);
  imported_free(&m);
  for (int i = 0; i < 32; i++) values[i] = -3.7f;
  m = import(&tensor, INT4);
  for (size_t i = 0; i < 32; i++) ck_assert(canonical(&m, 0, i) == (double)-3.7f);
  ck_assert_double_eq(m.error.max_abs, 0);
  imported_free(&m);
  for (int i = 0; i < 32; i++) values[i] = i & 1 ? FLT_MAX : -FLT_MAX;
  m = import(&tensor, INT4);
  for (size_t i = 0; i < 32; i++) ck_assert(fabs(canonical(&m, 0, i) - values[i]) <= 1e-6 * FLT_MAX);
  imported_free(&m);
  uint16_t halves[32];
  for (int i = 0; i < 32; i++) halves[i] = half_bits((float)(i % 16) - 4);
  tensor = tensor_of(F16, 32, 1, halves, sizeof halves);
  m = import(&tensor, INT4);
  for (size_t i = 0; i < 16; i++) ck_assert_uint_eq(((uint8_t *)m.codes)[i], 2 * i % 16 | (2 * i + 1) % 16 << 4);
  ck_assert_double_eq(m.error.rms, 0);
  imported_free(&m);
}
END_TEST

/* A weight that is no number spoils its group, says so, and spoils no other. */
START_TEST(what_is_no_number_never_vanishes) {
  static const float odd[] = {NAN, INFINITY, -INFINITY};
  for (size_t o = 0; o < 3; o++)
    for (weir_op op = INT4; op <= INT8; op++)
      for (int at = 32; at < 64; at += 31) {
        float *values = random_floats(96, 1);
        values[at] = odd[o];
        weir_tensor tensor = tensor_of(F32, 96, 1, values, 384);
        struct imported m = import(&tensor, op);
        for (size_t i = 0; i < 96; i++) ck_assert_int_eq(isnan(canonical(&m, 0, i)), i >= 32 && i < 64);
        ck_assert(isinf(m.error.max_abs) && isinf(m.error.rms));
        imported_free(&m);
        free(values);
      }
  float values[32];
  for (int i = 0; i < 32; i++) values[i] = NAN;
  weir_tensor tensor = tensor_of(F32, 32, 1, values, sizeof values);
  struct imported m = import(&tensor, INT8);
  for (size_t i = 0; i < 32; i++) ck_assert(isnan(canonical(&m, 0, i)));
  ck_assert_double_eq(m.error.max_abs, 0);
  imported_free(&m);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("import");
  TCase *exact = tcase_create("exact"), *rounded = tcase_create("rounded");
  tcase_set_timeout(exact, 60);
  tcase_set_timeout(rounded, 60);
  tcase_add_loop_test(exact, blocks_have_the_published_weights, 0, IMPORT_VECTORS);
  tcase_add_test(exact, a_block_by_hand);
  tcase_add_loop_test(exact, exact_imports_are_exact, 0, QUANTISED);
  tcase_add_loop_test(exact, odd_scales_pass_through, 0, QUANTISED);
  tcase_add_test(exact, every_half_is_converted);
  tcase_add_test(exact, descriptions_follow_the_type);
  tcase_add_test(exact, what_does_not_fit_is_refused);
  tcase_add_test(rounded, floats_are_rounded_to_nearest);
  tcase_add_loop_test(rounded, other_types_are_rounded_to_int4, 0, QUANTISED);
  tcase_add_test(rounded, rounding_by_hand);
  tcase_add_test(rounded, what_is_no_number_never_vanishes);
  suite_add_tcase(suite, exact);
  suite_add_tcase(suite, rounded);
  return run_suite(suite);
}

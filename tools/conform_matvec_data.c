/* SPDX-License-Identifier: MIT */

#include "conform_matvec.h"

static double draw_scale(struct rng *rng, enum matvec_values values) {
  double sign = rng_below(rng, 3) ? 1 : -1;
  switch (values) {
    case VALUES_NEGATIVE_SCALES:
      return -rng_between(rng, 0.005, 0.02);
    case VALUES_MIXED_SCALES:
      return sign * exp2(rng_between(rng, -13, 17)) * 0.01;
    case VALUES_TINY_SCALES:
      return sign * rng_between(rng, 0.5e-30, 2e-30);
    case VALUES_HUGE_SCALES:
      return sign * rng_between(rng, 0.5e30, 2e30);
    case VALUES_SUBNORMAL_SCALES:
      return sign * ldexp(1 + rng_below(rng, 1023), -24);
    case VALUES_MAX_SCALES:
      return sign * 65504;
    case VALUES_ZERO_SCALES:
      return rng_below(rng, 2) ? 0 : sign * rng_between(rng, 0.005, 0.02);
    case VALUES_CONSTANT:
      return 0.015625;
    default:
      return sign * rng_between(rng, 0.005, 0.02);
  }
}

static double draw_zero(struct rng *rng, const weir_matvec_desc *desc, enum matvec_values values, double scale) {
  int int4 = desc->op == WEIR_OP_INT4_MATVEC;
  if (desc->form == WEIR_FORM_MIN) {
    return rng_between(rng, -10, 2) * (int4 ? 1 : 8) * scale;
  }
  if (desc->zero_type == WEIR_U8) {
    return values == VALUES_EXTREME_CODES ? 255.0 * rng_below(rng, 2) : rng_below(rng, 16);
  }
  if (desc->zero_type == WEIR_S8) {
    return values == VALUES_EXTREME_CODES ? (rng_below(rng, 2) ? 127 : -128) : (double)rng_below(rng, 41) - 20;
  }
  return int4 ? rng_between(rng, -1, 16) : rng_between(rng, -20, 20);
}

static uint32_t draw_code(struct rng *rng, enum matvec_values values, uint32_t largest) {
  if (values == VALUES_EXTREME_CODES) {
    return rng_below(rng, 2) * largest;
  }
  return values == VALUES_CONSTANT ? largest : rng_below(rng, largest + 1);
}

/* Weights: codes, planes, and what they mean. */
static int make_weights(struct conform *c, const struct matvec_case *item, const weir_matvec_desc *desc,
                        struct matvec_data *data) {
  uint64_t n = desc->n, k = desc->k, groups = k / desc->group;
  int int4 = desc->op == WEIR_OP_INT4_MATVEC;
  uint64_t row_stride = groups, group_stride = 1, elements = n * groups;
  if (item->layout == LAYOUT_GN || item->layout == LAYOUT_GN_PADDED) {
    group_stride = item->layout == LAYOUT_GN ? n : n + 5;
    row_stride = 1;
    elements = (groups - 1) * group_stride + n;
  } else if (item->layout == LAYOUT_NG_PADDED) {
    row_stride = groups + 3;
    elements = (n - 1) * row_stride + groups;
  }
  uint64_t scale_size = number_size(desc->scale_type), zero_size = number_size(desc->zero_type);
  int skewed = item->unaligned;
  data->w = conform_memory(c, n * k * sizeof *data->w);
  data->w_abs = conform_memory(c, n * k * sizeof *data->w_abs);
  if (!data->w || !data->w_abs || buffer_make(c, &data->codes, NULL, "codes", int4 ? n * k / 2 : n * k, skewed) ||
      buffer_make(c, &data->scales, NULL, "scales", elements * scale_size, skewed ? scale_size : 0) ||
      buffer_make(c, &data->zeros, NULL, "zeros", elements * zero_size, skewed ? zero_size : 0)) {
    return -1;
  }
  unsigned char *codes = buffer_image(&data->codes);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t g = 0; g < groups; ++g) {
      uint64_t at = r * row_stride + g * group_stride;
      double scale = draw_scale(&c->rng, item->values), zero = int4 ? 8 : 0;
      number_store(desc->scale_type, buffer_image(&data->scales), at, scale);
      scale = number_load(desc->scale_type, buffer_image(&data->scales), at);
      if (desc->zero_type != WEIR_NONE) {
        number_store(desc->zero_type, buffer_image(&data->zeros), at, draw_zero(&c->rng, desc, item->values, scale));
        zero = number_load(desc->zero_type, buffer_image(&data->zeros), at);
      }
      for (uint64_t j = g * desc->group; j < (g + 1) * desc->group; ++j) {
        uint32_t bits = draw_code(&c->rng, item->values, int4 ? 15 : 255);
        double code;
        if (int4) {
          unsigned char *byte = &codes[(r * k + j) / 2];
          *byte = (unsigned char)(j & 1 ? (*byte & 0x0f) | bits << 4 : (*byte & 0xf0) | bits);
          code = bits;
        } else {
          code = (double)bits - 128;
          codes[r * k + j] = (unsigned char)(bits ^ 0x80);
        }
        if (desc->form == WEIR_FORM_MIN) {
          data->w[r * k + j] = scale * code + zero;
          data->w_abs[r * k + j] = fabs(scale * code) + fabs(zero);
        } else {
          data->w[r * k + j] = scale * (code - zero);
          data->w_abs[r * k + j] = fabs(scale * code) + fabs(scale * zero);
        }
      }
    }
  }
  data->source = (weir_matvec_source){
      .struct_size = sizeof data->source,
      .codes = buffer_at(&data->codes),
      .scales = buffer_at(&data->scales),
      .zeros = buffer_at(&data->zeros),
      .row_stride = item->layout == LAYOUT_DEFAULT ? 0 : row_stride,
      .group_stride = item->layout == LAYOUT_DEFAULT ? 0 : group_stride,
  };
  return buffer_send(c, &data->codes) || buffer_send(c, &data->scales) || buffer_send(c, &data->zeros) ? -1 : 0;
}

static double draw_x(struct rng *rng, enum matvec_values values, uint32_t in_block, double amplitude) {
  switch (values) {
    case VALUES_TIES: /* 127 makes d and r exactly 1 */
      return in_block == 3 ? 127 : (double)rng_below(rng, 252) - 126 + 0.5;
    case VALUES_OUTLIERS:
      return rng_normal(rng) * (in_block == 5 ? 1000 : 1);
    case VALUES_TINY_X:
      return rng_normal(rng) * 1e-30;
    case VALUES_HUGE_X:
      return rng_normal(rng) * 1e30;
    case VALUES_CONSTANT:
      return 1;
    default:
      return rng_normal(rng) * amplitude;
  }
}

static int make_activations(struct conform *c, const struct matvec_case *item, const weir_matvec_desc *desc,
                            struct matvec_data *data) {
  data->x = conform_memory(c, (uint64_t)item->m * desc->k * number_size(desc->x_type));
  if (!data->x) {
    return -1;
  }
  data->zero_row = item->values == VALUES_ZERO_BLOCKS ? item->m / 2 : UINT32_MAX;
  for (uint32_t r = 0; r < item->m; ++r) {
    for (uint32_t first = 0; first < desc->k; first += 32) {
      double amplitude = rng_between(&c->rng, 0.5, 2);
      if (r == data->zero_row || (item->values == VALUES_ZERO_BLOCKS && rng_below(&c->rng, 2))) {
        continue;
      }
      for (uint32_t j = first; j < desc->k && j < first + 32; ++j) {
        number_store(desc->x_type, data->x, (uint64_t)r * desc->k + j,
                     draw_x(&c->rng, item->values, j - first, amplitude));
      }
    }
  }
  return 0;
}

int matvec_data_make(struct conform *c, const struct matvec_case *item, const weir_matvec_desc *desc,
                     struct matvec_data *out_data) {
  memset(out_data, 0, sizeof *out_data);
  if (make_weights(c, item, desc, out_data) || make_activations(c, item, desc, out_data)) {
    return -1;
  }
  if (desc->bias_type != WEIR_NONE) {
    out_data->bias = conform_memory(c, (uint64_t)desc->n * number_size(desc->bias_type));
    if (!out_data->bias) {
      return -1;
    }
    for (uint32_t i = 0; i < desc->n; ++i) {
      number_store(desc->bias_type, out_data->bias, i, rng_normal(&c->rng) * 3);
    }
  }
  return 0;
}

/* x as the plan sees it. 1: the row holds something that is not finite. */
static int represent_row(const weir_matvec_desc *desc, const void *x, uint32_t row, weir_act act, double *out_row) {
  for (uint32_t first = 0; first < desc->k; first += 32) {
    uint32_t last = first + 32 < desc->k ? first + 32 : desc->k;
    float largest = 0;
    for (uint32_t j = first; j < last; ++j) {
      out_row[j] = number_load(desc->x_type, x, (uint64_t)row * desc->k + j);
      if (!isfinite(out_row[j])) {
        return 1;
      }
      largest = fmaxf(largest, fabsf((float)out_row[j]));
    }
    if (act == WEIR_ACT_EXACT) {
      continue;
    }
    float d = largest / 127, r = d > 0 ? 1 / d : 0;
    for (uint32_t j = first; j < last; ++j) {
      float q = nearbyintf((float)out_row[j] * r);
      out_row[j] = (double)d * (double)fmaxf(fminf(q, 127), -128);
    }
  }
  return 0;
}

int matvec_expect(struct conform *c, const weir_matvec_desc *desc, const struct matvec_data *data, const void *x,
                  uint32_t m, weir_act act, double *out_want, double *out_bound) {
  uint64_t k = desc->k;
  double *row = conform_memory(c, k * sizeof *row);
  double factor = (ceil((double)k / 16) + 32) * 0x1p-24;
  if (!row) {
    return -1;
  }
  for (uint32_t r = 0; r < m; ++r) {
    int broken = represent_row(desc, x, r, act, row);
    for (uint32_t i = 0; i < desc->n; ++i) {
      const double *w = data->w + i * k, *w_abs = data->w_abs + i * k;
      double sum = data->bias ? number_load(desc->bias_type, data->bias, i) : 0, magnitude = fabs(sum);
      for (uint64_t j = 0; j < k; ++j) {
        sum += w[j] * row[j];
        magnitude += w_abs[j] * fabs(row[j]);
      }
      out_want[(uint64_t)r * desc->n + i] = broken ? (double)NAN : sum;
      out_bound[(uint64_t)r * desc->n + i] = broken ? 0 : magnitude * factor;
    }
  }
  return 0;
}

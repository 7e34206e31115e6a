/* SPDX-License-Identifier: MIT */

#include "conform_sdpa.h"

/* The type whose precision P may have: see conform.h. */
static double probability_error(const char *plugin, const weir_sdpa_desc *desc) {
  if (conform_strict(plugin)) {
    return 0x1p-18;
  }
  if (desc->q_type == WEIR_BF16 || desc->kv_type == WEIR_BF16) {
    return 0x1p-8;
  }
  return desc->q_type == WEIR_F16 || desc->kv_type == WEIR_F16 ? 0x1p-11 : 0x1p-18;
}

/* sum q*k and sum |q*k|, four ways at once for speed. */
static double dot(const double *q, const float *k, uint32_t d, double *out_magnitude) {
  double sum[4] = {0}, magnitude[4] = {0};
  for (uint32_t i = 0; i < d; i += 4) {
    for (uint32_t l = 0; l < 4; ++l) {
      double product = q[i + l] * (double)k[i + l];
      sum[l] += product;
      magnitude[l] += fabs(product);
    }
  }
  *out_magnitude = magnitude[0] + magnitude[1] + magnitude[2] + magnitude[3];
  return sum[0] + sum[1] + sum[2] + sum[3];
}

struct row_scratch {
  double *q;         /* [D] */
  double *score;     /* [slots] */
  double *score_err; /* [slots] */
  double *reach;     /* [D]: sum of each slot's part of the bound */
};

/* One query. 1: it attends nothing. */
static int expect_row(const struct sdpa_data *data, uint32_t b, uint32_t h, uint32_t i, double tol_p,
                      const struct row_scratch *scratch, double *out_want, double *out_bound) {
  const weir_sdpa_desc *desc = &data->item->desc;
  uint32_t d = desc->head_dim, g = h / (desc->q_heads / desc->kv_heads);
  const float *q = data->q + (((uint64_t)b * desc->q_heads + h) * data->item->q_len + i) * d;
  uint64_t kv_row = ((uint64_t)b * desc->kv_heads + g) * data->slots;
  double scale = (double)desc->scale, cap = (double)desc->softcap, most = -(double)INFINITY, total = 0, loose = 0;
  for (uint32_t e = 0; e < d; ++e) {
    scratch->q[e] = (double)q[e];
    out_want[e] = out_bound[e] = scratch->reach[e] = 0;
  }
  int attended = 0;
  for (uint32_t j = 0; j < data->len[b]; ++j) {
    float mask;
    double magnitude;
    scratch->score[j] = -(double)INFINITY;
    if (!sdpa_attends(data, b, h, i, j, &mask)) {
      continue;
    }
    attended = 1;
    double score = scale * dot(scratch->q, data->k + (kv_row + j) * d, d, &magnitude);
    score = (cap > 0 ? cap * tanh(score / cap) : score) + (double)mask;
    scratch->score[j] = score;
    scratch->score_err[j] =
        0x1p-24 * ((4 + d / 64.0) * fabs(scale) * magnitude + 4 * fabs((double)mask) + 4 * cap);
    most = score > most ? score : most;
    most = isnan(score) ? (double)NAN : most;
  }
  if (!attended) {
    return 1;
  }
  for (uint32_t j = 0; j < data->len[b]; ++j) {
    double p = exp(scratch->score[j] - most);
    if (p == 0) {
      continue;
    }
    double slack = p * expm1(fmin(scratch->score_err[j], 40));
    const float *v = data->v + (kv_row + j) * d;
    total += p;
    loose += slack;
    for (uint32_t e = 0; e < d; ++e) {
      out_want[e] += p * (double)v[e];
      scratch->reach[e] += (tol_p * p + slack) * fabs((double)v[e]);
    }
  }
  double left = fmax(1 - loose / total, 0.5);
  for (uint32_t e = 0; e < d; ++e) {
    out_want[e] /= total;
    out_bound[e] = (scratch->reach[e] / total + loose / total * fabs(out_want[e])) / left;
  }
  return 0;
}

int sdpa_expect(struct conform *c, const struct sdpa_data *data, double *out_want, double *out_bound,
                unsigned char *out_empty) {
  const weir_sdpa_desc *desc = &data->item->desc;
  double tol_p = probability_error(c->options->plugin, desc);
  struct row_scratch scratch = {
      .q = conform_memory(c, desc->head_dim * sizeof(double)),
      .score = conform_memory(c, data->slots * sizeof(double)),
      .score_err = conform_memory(c, data->slots * sizeof(double)),
      .reach = conform_memory(c, desc->head_dim * sizeof(double)),
  };
  if (!scratch.q || !scratch.score || !scratch.score_err || !scratch.reach) {
    return -1;
  }
  uint64_t row = 0;
  for (uint32_t b = 0; b < desc->batch; ++b) {
    for (uint32_t h = 0; h < desc->q_heads; ++h) {
      for (uint32_t i = 0; i < data->item->q_len; ++i, ++row) {
        out_empty[row] = (unsigned char)expect_row(data, b, h, i, tol_p, &scratch, out_want + row * desc->head_dim,
                                                   out_bound + row * desc->head_dim);
      }
    }
  }
  return 0;
}

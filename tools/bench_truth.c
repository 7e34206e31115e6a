/* SPDX-License-Identifier: MIT */
#include "bench_truth.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conform_case.h"
#include "number.h"
#include "rng.h"

enum { ACT_BLOCK = 32, MOST_THREADS = 64, WORTH_THREADS = 1 << 18 };

/* ---- Weights ------------------------------------------------------------ */

static weir_status weights_alloc(const weir_matvec_desc *desc, bench_weights *out_weights) {
  uint64_t elements = (uint64_t)desc->n * desc->k, groups = elements / desc->group;
  *out_weights = (bench_weights){.desc = *desc};
  out_weights->codes = malloc(desc->op == WEIR_OP_INT4_MATVEC ? elements / 2 : elements);
  out_weights->scales = malloc(groups * number_size(desc->scale_type));
  if (desc->zero_type != WEIR_NONE) out_weights->zeros = malloc(groups * number_size(desc->zero_type));
  if (out_weights->codes && out_weights->scales && (out_weights->zeros || desc->zero_type == WEIR_NONE))
    return WEIR_OK;
  bench_weights_free(out_weights);
  return BENCH_NOMEM;
}

weir_status bench_weights_random(const weir_matvec_desc *desc, uint64_t seed, bench_weights *out_weights) {
  uint64_t elements = (uint64_t)desc->n * desc->k, groups = elements / desc->group;
  bool is_int4 = desc->op == WEIR_OP_INT4_MATVEC;
  uint64_t bytes = is_int4 ? elements / 2 : elements;
  double step = 1 / ((is_int4 ? 4.6 : 74) * sqrt(desc->k)); /* divided by the deviation of a uniform code */
  unsigned char *codes;
  struct rng rng;
  weir_status status = weights_alloc(desc, out_weights);

  if (status) return status;
  rng_seed(&rng, rng_seed_of(seed, "weights"));
  codes = out_weights->codes;
  for (uint64_t i = 0; i < bytes; i += 8) {
    uint64_t bits = rng_next(&rng);
    memcpy(codes + i, &bits, bytes - i < 8 ? bytes - i : 8);
  }
  for (uint64_t i = 0; i < groups; i++) {
    double scale = step * rng_between(&rng, 0.5, 1.5);
    number_store(desc->scale_type, out_weights->scales, i, scale);
    if (desc->zero_type == WEIR_NONE) continue;
    if (desc->form == WEIR_FORM_MIN) number_store(desc->zero_type, out_weights->zeros, i, -scale * (is_int4 ? 8 : 0));
    else number_store(desc->zero_type, out_weights->zeros, i, is_int4 ? 7 + rng_below(&rng, 3) : rng_below(&rng, 5));
  }
  return WEIR_OK;
}

weir_status bench_weights_import(const weir_tensor *tensor, const weir_matvec_desc *desc, bench_weights *out_weights,
                                 weir_import_error *out_error) {
  weir_status status = weights_alloc(desc, out_weights);
  if (status) return status;
  status = weir_import_rows(tensor, desc, 0, desc->n, out_weights->codes, out_weights->scales, out_weights->zeros,
                            out_error);
  if (status) bench_weights_free(out_weights);
  return status;
}

void bench_weights_free(bench_weights *weights) {
  free(weights->codes);
  free(weights->scales);
  free(weights->zeros);
  *weights = (bench_weights){0};
}

/* ---- Matvec ------------------------------------------------------------- */

static weir_status truth_alloc(uint64_t count, bench_truth *out_truth) {
  *out_truth = (bench_truth){.count = count};
  out_truth->want = calloc(count, sizeof *out_truth->want);
  out_truth->bound = calloc(count, sizeof *out_truth->bound);
  out_truth->exact = calloc(count, sizeof *out_truth->exact);
  return out_truth->want && out_truth->bound && out_truth->exact ? WEIR_OK : BENCH_NOMEM;
}

/* Runs ref with activations as `act` says; the results in double. */
static weir_status run_oracle(bench *bench, const bench_weights *weights, weir_act act, const void *x, uint32_t m,
                              double *out_y) {
  weir_matvec_desc desc = weights->desc;
  weir_matvec_info info = {.struct_size = sizeof info};
  weir_matvec_source source = {
    .struct_size = sizeof source, .codes = weights->codes, .scales = weights->scales, .zeros = weights->zeros};
  weir_quantize_args quantize = {.struct_size = sizeof quantize, .m = m, .x = x};
  weir_matvec_args matvec = {.struct_size = sizeof matvec, .m = m};
  uint64_t count = (uint64_t)m * desc.n;
  weir_plan *plan = NULL;
  void *packed = NULL, *act_memory = NULL, *workspace = NULL;
  weir_status status;

  desc.act = act;
  desc.y_type = WEIR_F32;
  status = bench_plan_matvec(bench, &bench->oracle, &desc, &plan);
  if (!status) status = weir_matvec_get(plan, &info);
  if (status) goto out;
  quantize.act_size = weir_act_size(plan, m);
  matvec.workspace_size = weir_workspace_size(plan, m);
  status = weir_memory_alloc(bench->cpu, info.packed_size, &packed);
  if (!status) status = weir_memory_alloc(bench->cpu, quantize.act_size, &act_memory);
  if (!status) status = bench_zeroed(bench->cpu, NULL, matvec.workspace_size, &workspace);
  if (!status) status = weir_memory_alloc(bench->cpu, count * sizeof(float), &matvec.y);
  if (!status) status = weir_pack(plan, &source, 0, desc.n, packed, info.packed_size);
  quantize.act = act_memory;
  matvec.packed = packed;
  matvec.act = act_memory;
  matvec.workspace = workspace;
  if (!status) status = weir_quantize(plan, &quantize, NULL);
  if (!status) status = weir_matvec(plan, &matvec, NULL);
  if (status) goto out;
  for (uint64_t i = 0; i < count; i++) out_y[i] = (double)((const float *)matvec.y)[i];
out:
  weir_memory_free(bench->cpu, packed);
  weir_memory_free(bench->cpu, act_memory);
  weir_memory_free(bench->cpu, workspace);
  weir_memory_free(bench->cpu, matvec.y);
  weir_plan_free(plan);
  return status;
}

/* |d * q| of the 8-bit recipe, or |x|, for one row. */
static void represent(const weir_matvec_desc *desc, const void *x, uint64_t row, float *out_magnitude) {
  for (uint32_t k0 = 0; k0 < desc->k; k0 += ACT_BLOCK) {
    uint32_t end = desc->k - k0 < ACT_BLOCK ? desc->k : k0 + ACT_BLOCK;
    float most = 0;
    for (uint32_t k = k0; k < end; k++) {
      out_magnitude[k] = fabsf((float)number_load(desc->x_type, x, row * desc->k + k));
      most = fmaxf(most, out_magnitude[k]);
    }
    if (desc->act == WEIR_ACT_EXACT) continue;
    float d = most / 127, r = d > 0 ? 1 / d : 0;
    for (uint32_t k = k0; k < end; k++) out_magnitude[k] = d * fminf(rintf(out_magnitude[k] * r), 128);
  }
}

/* The sum over k of (|scale*code| + |scale*zero| or |min|) * |x'|. */
static double magnitude(const bench_weights *weights, uint64_t row, const float *x) {
  const weir_matvec_desc *desc = &weights->desc;
  uint32_t groups = desc->k / desc->group;
  const unsigned char *nibbles = (const unsigned char *)weights->codes + row * (desc->k / 2);
  const signed char *bytes = (const signed char *)weights->codes + row * desc->k;
  double total = 0;

  for (uint32_t g = 0; g < groups; g++) {
    double scale = fabs(number_load(desc->scale_type, weights->scales, row * groups + g));
    double zero = desc->op == WEIR_OP_INT4_MATVEC ? 8 : 0;
    if (desc->zero_type != WEIR_NONE) zero = fabs(number_load(desc->zero_type, weights->zeros, row * groups + g));
    float coded = 0, plain = 0; /* a group is short, and this is a bound: f32 will do */
    for (uint32_t k = g * desc->group; k < (g + 1) * desc->group; k++) {
      int code = desc->op == WEIR_OP_INT4_MATVEC ? nibbles[k / 2] >> (k % 2 * 4) & 15 : abs(bytes[k]);
      coded += (float)code * x[k];
      plain += x[k];
    }
    total += scale * (double)coded + (desc->form == WEIR_FORM_MIN ? zero : scale * zero) * (double)plain;
  }
  return total;
}

weir_status bench_truth_matvec(bench *bench, const bench_weights *weights, const void *x, uint32_t m,
                               bench_truth *out_truth) {
  const weir_matvec_desc *desc = &weights->desc;
  double factor = ((desc->k + 15) / 16 + 32) * 0x1p-24;
  float *row = malloc(desc->k * sizeof *row);
  weir_status status = truth_alloc((uint64_t)m * desc->n, out_truth);

  if (!row) status = BENCH_NOMEM;
  if (!status) status = run_oracle(bench, weights, desc->act, x, m, out_truth->want);
  if (!status) status = run_oracle(bench, weights, WEIR_ACT_EXACT, x, m, out_truth->exact);
  for (uint32_t i = 0; i < m && !status; i++) {
    represent(desc, x, i, row);
    for (uint32_t n = 0; n < desc->n; n++)
      out_truth->bound[(uint64_t)i * desc->n + n] = factor * magnitude(weights, n, row);
  }
  free(row);
  if (status) bench_truth_free(out_truth);
  return status;
}

/* The first and the last rows, and others at random, some perhaps twice. */
static void choose_rows(uint32_t n, uint32_t known, uint64_t seed, uint32_t *out_rows) {
  struct rng rng;
  rng_seed(&rng, rng_seed_of(seed, "rows"));
  for (uint32_t i = 0; i < known; i++)
    out_rows[i] = i < known / 8 ? i : i < known / 4 ? n - 1 - (i - known / 8) : rng_below(&rng, n);
}

weir_status bench_truth_sample(bench *bench, const bench_weights *weights, const void *x, uint32_t m, uint32_t known,
                               uint64_t seed, bench_truth *out_truth) {
  weir_matvec_desc desc = weights->desc;
  uint64_t code_bytes = desc.op == WEIR_OP_INT4_MATVEC ? desc.k / 2 : desc.k;
  uint64_t scale_bytes = desc.k / desc.group * number_size(desc.scale_type);
  uint64_t zero_bytes = desc.k / desc.group * number_size(desc.zero_type);
  uint32_t *rows = malloc(known * sizeof *rows);
  bench_weights some = {{0}, NULL, NULL, NULL};
  weir_status status = rows ? WEIR_OK : BENCH_NOMEM;

  *out_truth = (bench_truth){0};
  desc.n = known;
  if (!status) status = weights_alloc(&desc, &some);
  if (status) goto out;
  choose_rows(weights->desc.n, known, seed, rows);
  for (uint64_t i = 0; i < known; i++) {
    memcpy((char *)some.codes + i * code_bytes, (const char *)weights->codes + rows[i] * code_bytes, code_bytes);
    memcpy((char *)some.scales + i * scale_bytes, (const char *)weights->scales + rows[i] * scale_bytes, scale_bytes);
    if (some.zeros)
      memcpy((char *)some.zeros + i * zero_bytes, (const char *)weights->zeros + rows[i] * zero_bytes, zero_bytes);
  }
  status = bench_truth_matvec(bench, &some, x, m, out_truth);
  if (status) goto out;
  out_truth->column = rows;
  out_truth->known = known;
  out_truth->columns = weights->desc.n;
  rows = NULL;
out:
  bench_weights_free(&some);
  free(rows);
  return status;
}

/* ---- Attention ---------------------------------------------------------- */

weir_sdpa_args bench_sdpa_args(const weir_sdpa_desc *desc, uint32_t kv_len, const void *q, const void *k,
                               const void *v, void *o) {
  int64_t d = desc->head_dim, head = (int64_t)desc->kv_capacity * d, queries = (int64_t)desc->q_len_max * d;
  return (weir_sdpa_args){.struct_size = sizeof(weir_sdpa_args),
                          .q_len = desc->q_len_max,
                          .kv_len = kv_len,
                          .q = q,
                          .k = k,
                          .v = v,
                          .o = o,
                          .q_stride = {desc->q_heads * queries, queries, d},
                          .k_stride = {desc->kv_heads * head, head, d},
                          .v_stride = {desc->kv_heads * head, head, d},
                          .o_stride = {desc->q_heads * queries, queries, d}};
}

static weir_status run_sdpa_oracle(bench *bench, const weir_sdpa_desc *wanted, uint32_t kv_len, const void *q,
                                   const void *k, const void *v, double *out_o) {
  weir_sdpa_desc desc = *wanted;
  uint64_t count = (uint64_t)desc.q_heads * desc.head_dim;
  float *o = malloc(count * sizeof *o);
  weir_plan *plan = NULL;
  weir_sdpa_args args = bench_sdpa_args(&desc, kv_len, q, k, v, o);
  weir_status status;

  desc.o_type = WEIR_F32;
  status = o ? bench_plan_sdpa(bench, &bench->oracle, &desc, &plan) : BENCH_NOMEM;
  if (!status) {
    args.workspace_size = weir_workspace_size(plan, 1);
    status = bench_zeroed(bench->cpu, NULL, args.workspace_size, &args.workspace);
  }
  if (!status) status = weir_sdpa(plan, &args, NULL);
  if (!status)
    for (uint64_t i = 0; i < count; i++) out_o[i] = (double)o[i];
  weir_memory_free(bench->cpu, args.workspace);
  weir_plan_free(plan);
  free(o);
  return status;
}

/* The bound of one head's results; see conform.h for the formula. */
static void bound_head(const weir_sdpa_desc *desc, uint32_t kv_len, uint64_t q_row, const void *q, const void *k,
                       const void *v, uint64_t kv_row, double tolerance, const double *want, double *score,
                       double *out_bound) {
  uint32_t d = desc->head_dim, first = desc->window && kv_len > desc->window ? kv_len - desc->window : 0;
  double most = -INFINITY, sum = 0, moved = 0, cap = desc->softcap;
  double *slack = score + kv_len;

  for (uint32_t j = first; j < kv_len; j++) {
    double dot = 0, size = 0;
    for (uint32_t i = 0; i < d; i++) {
      double term = number_load(desc->q_type, q, q_row * d + i) * number_load(desc->kv_type, k, (kv_row + j) * d + i);
      dot += term;
      size += fabs(term);
    }
    score[j] = dot * desc->scale;
    if (cap != 0) score[j] = cap * tanh(score[j] / cap);
    slack[j] = expm1(0x1p-24 * ((4 + d / 64.0) * fabs((double)desc->scale) * size + 4 * cap));
    most = fmax(most, score[j]);
  }
  for (uint32_t j = first; j < kv_len; j++) sum += score[j] = exp(score[j] - most);
  for (uint32_t i = 0; i < d; i++) out_bound[i] = 0;
  for (uint32_t j = first; j < kv_len; j++) moved += score[j] / sum * slack[j];
  for (uint32_t j = first; j < kv_len; j++) {
    double p = score[j] / sum;
    for (uint32_t i = 0; i < d; i++) {
      double size = fabs(number_load(desc->kv_type, v, (kv_row + j) * d + i));
      out_bound[i] += p * slack[j] * (size + fabs(want[i])) / (1 - moved) + tolerance * p * size;
    }
  }
}

typedef struct bound_job {
  const weir_sdpa_desc *desc;
  uint32_t kv_len;
  const void *q, *k, *v;
  double tolerance;
  bench_truth *truth;
  atomic_uint next; /* head */
  atomic_bool failed;
} bound_job;

static void *bound_heads(void *arg) {
  bound_job *job = arg;
  const weir_sdpa_desc *desc = job->desc;
  double *score = malloc(2 * (size_t)job->kv_len * sizeof *score + 1);
  if (!score) atomic_store(&job->failed, true);
  for (uint32_t h; score && (h = atomic_fetch_add(&job->next, 1)) < desc->q_heads;) {
    uint64_t kv_row = (uint64_t)(h / (desc->q_heads / desc->kv_heads)) * desc->kv_capacity, at = h;
    at *= desc->head_dim;
    bound_head(desc, job->kv_len, h, job->q, job->k, job->v, kv_row, job->tolerance, job->truth->want + at, score,
               job->truth->bound + at);
  }
  free(score);
  return NULL;
}

/* On several threads where that is worth it; a thread that does not start is not missed. */
static weir_status bound_all(bound_job *job) {
  pthread_t thread[MOST_THREADS];
  long wanted = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t started = 0;
  if (wanted > MOST_THREADS) wanted = MOST_THREADS;
  if (wanted > job->desc->q_heads) wanted = job->desc->q_heads;
  if ((uint64_t)job->desc->q_heads * job->kv_len * job->desc->head_dim < WORTH_THREADS) wanted = 1;
  while (started + 1 < wanted && pthread_create(&thread[started], NULL, bound_heads, job) == 0) started++;
  bound_heads(job);
  for (uint32_t i = 0; i < started; i++) pthread_join(thread[i], NULL);
  return atomic_load(&job->failed) ? BENCH_NOMEM : WEIR_OK;
}

weir_status bench_truth_sdpa(bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len, const void *q, const void *k,
                             const void *v, bool strict, bench_truth *out_truth) {
  uint64_t count = (uint64_t)desc->q_heads * desc->head_dim;
  bound_job job = {desc, kv_len, q, k, v, 0x1p-18, out_truth, 0, false};
  weir_status status = truth_alloc(count, out_truth);

  if (!strict && (desc->q_type == WEIR_F16 || desc->kv_type == WEIR_F16)) job.tolerance = 0x1p-11;
  if (!strict && (desc->q_type == WEIR_BF16 || desc->kv_type == WEIR_BF16)) job.tolerance = 0x1p-8;
  if (!status) status = run_sdpa_oracle(bench, desc, kv_len, q, k, v, out_truth->want);
  if (!status) status = bound_all(&job);
  if (!status) memcpy(out_truth->exact, out_truth->want, count * sizeof *out_truth->exact);
  if (status) bench_truth_free(out_truth);
  return status;
}

/* ---- Comparing ---------------------------------------------------------- */

void bench_truth_free(bench_truth *truth) {
  free(truth->want);
  free(truth->bound);
  free(truth->exact);
  free(truth->column);
  *truth = (bench_truth){0};
}

void bench_truth_compare(const bench_truth *truth, weir_type type, const void *y, bench_error *error) {
  uint64_t all = truth->column ? truth->count / truth->known * truth->columns : 0;
  for (uint64_t i = 0; i < all; i++)
    if (!isfinite(number_load(type, y, i))) error->worst = INFINITY;
  for (uint64_t i = 0; i < truth->count; i++) {
    uint64_t at = truth->column ? i / truth->known * truth->columns + truth->column[i % truth->known] : i;
    double got = number_load(type, y, at), want = truth->want[i], off;
    double allowed = truth->bound[i] + number_ulp(type, fmin(fabs(want), number_max(type)));
    if (!conform_close(type, got, want, truth->bound[i])) {
      off = isfinite(got) && isfinite(want) ? fabs(got - want) / allowed : INFINITY;
      off = fmax(off, nextafter(1, 2));
    } else {
      off = isfinite(got) && isfinite(want) ? fmin(fabs(got - want) / allowed, 1) : 0;
    }
    error->worst = fmax(error->worst, off);
    if (!isfinite(truth->exact[i]) || !isfinite(got)) continue;
    error->signal += truth->exact[i] * truth->exact[i];
    error->noise += (got - truth->exact[i]) * (got - truth->exact[i]);
  }
}

void bench_error_merge(bench_error *error, const bench_error *other) {
  error->worst = fmax(error->worst, other->worst);
  error->signal += other->signal;
  error->noise += other->noise;
  error->floor_db = fmax(error->floor_db, other->floor_db);
  error->unequal |= other->unequal;
}

double bench_error_snr(const bench_error *error) {
  return error->noise > 0 ? 10 * log10(error->signal / error->noise) : INFINITY;
}

bool bench_error_ok(const bench_error *error) {
  return error->worst <= 1 && !error->unequal && bench_error_snr(error) >= error->floor_db;
}

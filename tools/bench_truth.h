/* SPDX-License-Identifier: MIT */

/* What a result should be, and how far from it one may be: the bounds of the
 * conformance suite (conform.h), from the plugin ref and from f64 sums made here. */
#ifndef BENCH_TRUTH_H
#define BENCH_TRUTH_H

#include "bench.h"

/* A matrix in canonical form, planes in [N,groups] order, in host memory. */
typedef struct bench_weights {
  weir_matvec_desc desc; /* m_max, x_type and y_type included */
  void *codes, *scales, *zeros;
} bench_weights;

/* Random codes; scales and zeros as trained weights have them, about k^-1/2 a weight. */
weir_status bench_weights_random(const weir_matvec_desc *desc, uint64_t seed, bench_weights *out_weights);
weir_status bench_weights_import(const weir_tensor *tensor, const weir_matvec_desc *desc, bench_weights *out_weights,
                                 weir_import_error *out_error);
void bench_weights_free(bench_weights *weights);

typedef struct bench_truth {
  uint64_t count;
  double *want;  /* of ref, the same recipe */
  double *bound; /* to be added to one ulp of the result's type */
  double *exact; /* of ref, activations not quantised; for attention the same as want */
  /* Where only some of the `columns` of a result are known: which; else null. Of the
   * others only that they are finite. */
  uint32_t *column;
  uint32_t known, columns;
} bench_truth;

typedef struct bench_error {
  double worst;         /* |y - want| / (bound + ulp): up to 1 is right */
  double signal, noise; /* squares of exact, and of y - exact */
  double floor_db;      /* the SNR that the contract wants; 0: none */
  bool unequal;         /* repeated calls did not give the same bits, though promised */
} bench_error;

/* x: [m,k] of desc->x_type in host memory. */
weir_status bench_truth_matvec(bench *bench, const bench_weights *weights, const void *x, uint32_t m,
                               bench_truth *out_truth);
/* The same for about `known` rows of a matrix that is too large for all of them. */
weir_status bench_truth_sample(bench *bench, const bench_weights *weights, const void *x, uint32_t m, uint32_t known,
                               uint64_t seed, bench_truth *out_truth);
/* One query a head against kv_len slots (desc->q_len_max is 1, its flags are 0);
 * q [heads,D], k and v [kv_heads,capacity,D] in host memory. strict: probabilities are
 * held to f32, whatever the types. */
weir_status bench_truth_sdpa(bench *bench, const weir_sdpa_desc *desc, uint32_t kv_len, const void *q, const void *k,
                             const void *v, bool strict, bench_truth *out_truth);
void bench_truth_free(bench_truth *truth);

/* Adds what `count` results in host memory show to an error that starts as {0}. */
void bench_truth_compare(const bench_truth *truth, weir_type type, const void *y, bench_error *error);
void bench_error_merge(bench_error *error, const bench_error *other);
double bench_error_snr(const bench_error *error); /* dB; infinite without noise */
bool bench_error_ok(const bench_error *error);

/* Arguments of q_len_max queries, [q_heads,q_len_max,D], against an [kv_heads,capacity,D] cache. */
weir_sdpa_args bench_sdpa_args(const weir_sdpa_desc *desc, uint32_t kv_len, const void *q, const void *k,
                               const void *v, void *o);

#endif

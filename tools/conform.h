/* SPDX-License-Identifier: MIT */

/* The conformance suite: does a plugin do what weir/plugin.h promises?
 *
 * It knows a plugin only through weir.h, on any device that weir_memory_* can
 * reach; on one with streams everything is enqueued on one stream of the suite's own.
 * Each case is one problem with data of its own, made from the seed and the name of
 * the case, so that it gives the same alone as among the others.
 *
 * The oracle is the plugin `ref` on "cpu" with f32 results. It is itself held, in every
 * case, against a second computation in the suite, in double, straight from the
 * text of weir/plugin.h.
 *
 * Tolerances. Let ulp be the distance of neighbours of the result type at the
 * oracle's value; it covers the one rounding of the result, and that of the
 * oracle to f32.
 *
 * Matvec: |y - want| <= ulp + (ceil(k/16) + 32) * 2^-24 * A, where A is the sum over k
 * of (|scale*code| + |scale*zero| or |min|) * |x'|, plus |bias|, and x' is the
 * activation as represented (d*q for WEIR_ACT_INT8). The integer part of a block of
 * 32 is exact; the factor holds the f32 roundings of each block's term and of
 * the sum over blocks. Ordinary data must also reach 40 dB against
 * WEIR_ACT_EXACT: the 8-bit recipe itself is good for about 46, and data for which
 * the recipe gives less than 42 is left out.
 *
 * SDPA: an error of d_j in the score of slot j changes its probability p_j by a factor
 * of e^d_j, and the result, after normalisation, by no more than
 *   sum_j p_j * (e^d_j - 1) * (|v_j| + |o|) / (1 - sum_j p_j * (e^d_j - 1)).
 * For scores formed in f32,
 *   d_j = 2^-24 * ((4 + D/64) * |scale| * sum_d |q_d*k_jd| + 4*|mask_j| + 4*softcap):
 * the dot product's sum (D products over several accumulators), then scale, cap,
 * mask, maximum and base-2 logarithm. Probabilities, their sum and the sum over v add
 *   tol_p * sum_j p_j*|v_j|,
 * with tol_p = 2^-8 when q or k/v are BF16 (P may be held in bf16 for tensor
 * cores: 2^-9 in it, 2^-9 in its sum), 2^-11 for F16, 2^-18 for F32. For plugins that
 * are held to f32 whatever the types (conform_must.c) it is 2^-18. Each result gets
 * its own bound.
 */
#ifndef TOOLS_CONFORM_H
#define TOOLS_CONFORM_H

#include <weir/weir.h>

/* Deliberate damage, done by the suite to what it has just read back from the
 * plugin, to prove that the check in question can fail. For the suite's own tests. */
enum conform_tamper {
  CONFORM_TAMPER_NONE,
  CONFORM_TAMPER_INFO,          /* an alignment that is no power of two */
  CONFORM_TAMPER_PACK,          /* one bit of the packed weights of the ragged cut */
  CONFORM_TAMPER_PACK_GUARD,    /* one bit before the packed weights */
  CONFORM_TAMPER_INPUT,         /* one bit of x, or of k */
  CONFORM_TAMPER_ACT_GUARD,     /* one bit behind act */
  CONFORM_TAMPER_OUTPUT_GUARD,  /* one bit behind the result */
  CONFORM_TAMPER_WORK_GUARD,    /* one bit before the workspace */
  CONFORM_TAMPER_OUTPUT,        /* the last element of the result */
  CONFORM_TAMPER_UNWRITTEN,     /* the first element of the result stays poisoned */
  CONFORM_TAMPER_SNR,           /* every second result is 2 % off, for the SNR only */
  CONFORM_TAMPER_ROW,           /* one bit of an M = 1 result */
  CONFORM_TAMPER_REPEAT,        /* one bit of the second run's result */
  CONFORM_TAMPER_SHARE,         /* one bit of the result with a shared act */
  CONFORM_TAMPER_NAN,           /* one result of the NaN row is 0 */
  CONFORM_TAMPER_NAN_NEIGHBOUR, /* one bit of another row when one holds a NaN */
  CONFORM_TAMPER_EMPTY,         /* lowest bit of a result that must be exactly 0 or the bias */
  CONFORM_TAMPER_GAP,           /* one bit between strided results */
  CONFORM_TAMPER_LENGTH,        /* a result after kv_len changed on the device */
  CONFORM_TAMPER_ORACLE,        /* the last element of what 'ref' gives */
  CONFORM_TAMPER_LAYOUT,        /* one bit of the weights as packed for one row */
  CONFORM_TAMPER_LINEAR,        /* one bit of what weir_linear gives */
  CONFORM_TAMPER_LINEAR_NAN,    /* what it gives for a row with a NaN is 0 */
  CONFORM_TAMPER_REFUSE,        /* every plan is answered with "unsupported" */
  CONFORM_TAMPER_COUNT,
  /* These show only with conform_options.bit_identical, or with .graph. */
  CONFORM_TAMPER_BITS = CONFORM_TAMPER_COUNT, /* one bit of the other plugin's result */
  CONFORM_TAMPER_CAPTURE,                     /* one bit of what capturing must leave alone */
  CONFORM_TAMPER_REPLAY                       /* what a replay with poisoned inputs gives is 1 */
};

struct conform_options {
  const char *plugin;      /* its name; must be set */
  const char *device;      /* as weir_device_open; null: "cpu" */
  const char *plugin_path; /* as weir_options, for the plugin and `ref`; null: the environment's */
  weir_op op;              /* 0: every operation that the plugin has */
  const char *filter;      /* cases of this name, or else whose name contains it; null: all */
  int quick;               /* a short selection */
  int tiny;                /* a few of those, of every kind: for tools that slow everything down */
  int graph;               /* capture every call once, with poisoned inputs, and judge replays; not on the CPU */
  const char *bit_identical; /* a plugin that must give the same bits in every matvec case; null: none */
  uint64_t seed;
  enum conform_tamper tamper;
  void (*starting)(void *user, const char *name); /* before each case, with conform_run's user; may be null */
};

enum conform_status { CONFORM_PASS, CONFORM_FAIL, CONFORM_UNSUPPORTED };

struct conform_result {
  const char *name;
  weir_op op;
  enum conform_status status;
  int must;           /* UNSUPPORTED is no answer here, and was counted as FAIL */
  const char *check;  /* which check failed: "oracle", "redzone" ...; "" when none */
  const char *detail; /* what was found and what was expected; the plugin's reason; "" */
  uint32_t index, count; /* this is case `index` of `count` */
};

/* What they are given is valid during the call only. */
typedef void (*conform_report_fn)(void *user, const struct conform_result *result);
typedef void (*conform_list_fn)(void *user, const char *name, weir_op op, int must);

struct conform_summary {
  uint32_t selected, passed, failed, unsupported;
  uint64_t seed;
  char kernels[2048]; /* which kernels served, as the plugin names them */
  char error[512];   /* why nothing was run; "" */
};

/* Runs the selected cases. 0 when they were run, whatever came out; -1, with
 * out_summary->error, when they could not be. report may be null. */
int conform_run(const struct conform_options *options, conform_report_fn report, void *user,
                struct conform_summary *out_summary);

/* A plugin passes when something passed and nothing failed. */
int conform_passed(const struct conform_summary *summary);

/* Names the cases that conform_run would run on a plugin with every operation.
 * 0, or -1 without memory. */
int conform_list(const struct conform_options *options, conform_list_fn list, void *user);

#endif

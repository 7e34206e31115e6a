/* SPDX-License-Identifier: MIT */

/* One decode token of a model as a list of calls, once for each side. */
#ifndef BENCH_TOKEN_H
#define BENCH_TOKEN_H

#include "bench.h"
#include "bench_matvec.h"
#include "bench_model.h"
#include "bench_report.h"
#include "bench_sdpa.h"

typedef enum token_kind { TOKEN_QUANTIZE, TOKEN_MATVEC, TOKEN_SDPA } token_kind;

/* One call. `index` into the acts, matvecs or sdpas of the side. */
typedef struct token_call {
  token_kind kind;
  uint32_t line; /* of the report */
  uint32_t index;
  uint32_t act; /* what a matvec reads */
} token_call;

typedef struct token_side {
  bench_matvec *matvec; /* one a matrix of the model */
  bench_act *act;       /* at most one a matrix */
  uint32_t *act_input;  /* which input of the model an act represents */
  bench_sdpa *sdpa;     /* one an attention step */
  token_call *call;
  uint32_t matvecs, acts, sdpas, calls;
} token_side;

/* Attention steps that differ in nothing but the layer: one cache and one query. */
typedef struct token_attention {
  weir_sdpa_desc desc;
  bench_cache cache;
  void *q;
} token_attention;

typedef struct token {
  bench *bench;
  const model *model;
  token_side side[BENCH_SIDES];
  bench_truth *truth;   /* one a matrix */
  uint32_t *step_index; /* of each step: which matrix, or which attention step */
  uint32_t *step_line;
  uint32_t *step_attention; /* of an attention step: which of `attention` */
  token_attention *attention;
  uint32_t attentions, matrices;
  bench_report *report;
  char at[160]; /* which tensor or layer was worked on last, for messages */
} token;

/* Plans everything, and gives every operation its line in the report. */
weir_status token_plan(bench *bench, const model *model, bench_report *report, token *out_token);
/* Bytes of packed weights over all sides, with one copy each. */
uint64_t token_packed_bytes(const token *token);
/* Imports and packs all weights and computes what is right. */
weir_status token_load(token *token);
/* One token of one side. line_seconds: [report lines], what each took in this token. */
weir_status token_run(token *token, uint32_t side, double *line_seconds, double *out_seconds);
/* Compares every result of the token just run, and notes it in the report. */
weir_status token_check(token *token, uint32_t side);
/* After more tokens: are the bits the same? */
weir_status token_recheck(token *token, uint32_t side);
void token_close(token *token);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"
#include "bench_truth.h"

/* What one side did on one line. */
typedef struct bench_result {
  char plugin[64], kernel[64];
  bench_stat seconds; /* one call; in the total: one token */
  /* On CUDA `seconds` holds the quantisation of x too, as the mode says; and there are: */
  bench_stat alone; /* only the matvec */
  bench_stat act;   /* only the quantisation */
  bench_stat plain; /* as `seconds`, but call by call; count 0: not measured */
  bench_stat floor; /* a plain read of the same bytes, from the same copies */
  double shared;    /* in the total: with one quantisation for all that read the same x */
  double bytes;       /* that one call has to read; 0 = not counted */
  bench_error error;
  bool checked;
  bool refused; /* of an attention: this plugin does not do it, and only its name is here */
} bench_result;

typedef struct bench_line {
  char operation[64]; /* "attn_q" */
  char weights[32];   /* "Q4_K int4 g32"; "" without weights */
  char shape[48];     /* "1024x640", N by K */
  uint32_t count;     /* calls a token */
  uint32_t inputs;    /* of them, how many have an x of their own */
  bool is_attention;
  /* Of an attention. */
  uint32_t kv_len, capacity, queries;
  bool is_causal, is_sampled; /* is_sampled: only a part was compared with ref */
  double flops;               /* of one call */
  char chosen[64];            /* what the default selection takes; "" = not asked, or nothing */
  weir_import_error import;
  bench_result side[BENCH_SIDES];
  bench_stat ratio; /* side 1 over side 0 */
} bench_line;

typedef struct bench_report {
  char title[160];
  uint32_t sides;    /* 0: those of the bench */
  bool is_attention; /* a table of its own, with a column for each side */
  bench_line *line;
  uint32_t lines, capacity;
  bool has_total, is_total_measured; /* or added up from the medians */
  bench_result total[BENCH_SIDES];
  bench_stat total_ratio;
} bench_report;

uint32_t bench_report_sides(const bench *bench, const bench_report *report);
/* A new zeroed line, null without memory; valid until the next one is added. */
bench_line *bench_report_line(bench_report *report);
/* Makes the total out of the lines: times added up, the worst errors. With
 * `only_errors` the times that are there stay. */
void bench_report_total(bench_report *report, uint32_t sides, bool only_errors);
/* How many calls the lines of a CUDA device stand for, in one token. */
void bench_report_calls(const bench_report *report, uint32_t *out_matvecs, uint32_t *out_inputs,
                        uint32_t *out_attentions);
void bench_report_free(bench_report *report);

/* Prints all reports of a run to stdout, as tables or as JSON. The exit status: 1
 * when a result was wrong or the output could not be written. */
int bench_reports_print(const bench *bench, const bench_report *reports, uint32_t count);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ATTEND_H
#define BENCH_ATTEND_H

#include "bench_kv.h"
#include "bench_report.h"

/* One line of a report: an attention by several sides, on any device. */
typedef struct bench_attention {
  const char *name; /* for the progress line and errors */
  const weir_sdpa_desc *desc;
  uint32_t kv_len;
  const bench_side *side;
  uint32_t sides;
  double seconds;     /* how long to measure each side */
  const bench_kv *kv; /* null: it makes its own */
} bench_attention;

/* Plans for every side whose result is not `refused`, checks, measures. A plan that is
 * refused is an error, and then nothing is in the line. */
weir_status bench_attend(bench *bench, const bench_attention *attention, bench_line *line);
/* Fills `kv` for a layout of that many bytes; says on stderr when it does not fit. */
weir_status bench_attend_memory(bench *bench, const char *what, weir_type type, uint64_t bytes, bench_kv *out_kv);
/* Both for attention of a model. may_skip: where no plugin serves, that is a note and no line. */
weir_status bench_attend_model(bench *bench, const char *name, const weir_sdpa_desc *desc, uint32_t kv_len,
                               uint32_t count, bool may_skip, bench_report *report);

#endif

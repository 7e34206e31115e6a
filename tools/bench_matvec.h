/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MATVEC_H
#define BENCH_MATVEC_H

#include "bench.h"
#include "bench_truth.h"

/* A matrix packed by one side's plugin, and room for a result. */
typedef struct bench_matvec {
  weir_device *device;
  weir_stream stream;
  bool in_host_memory; /* the device's memory is the host's */
  weir_plan *plan;
  weir_matvec_desc desc;
  weir_matvec_info info;
  char *packed; /* `copies` times the packed weights, `stride` bytes apart */
  uint64_t stride;
  uint32_t copies, next;
  void *workspace, *y;
  uint64_t workspace_size;
  void *first; /* the result that was checked, in host memory */
} bench_matvec;

/* First the plan, which is cheap and may be refused; then the weights. */
weir_status bench_matvec_plan(bench *bench, const bench_side *side, const weir_matvec_desc *desc,
                              bench_matvec *out_matvec);
weir_status bench_matvec_pack(bench_matvec *matvec, const bench_weights *weights, uint32_t copies);
/* One call, on the next copy of the weights. */
weir_status bench_matvec_call(bench_matvec *matvec, const void *act, uint32_t m);
/* Makes every result NaN, so that one that is not written shows. */
weir_status bench_matvec_poison(const bench_matvec *matvec, uint32_t m);
/* Compares the latest result with what it should be. */
weir_status bench_matvec_check(bench_matvec *matvec, uint32_t m, const bench_truth *truth, bench_error *error);
/* After more calls: are the bits still those that were checked, if the plan says so? */
weir_status bench_matvec_recheck(const bench_matvec *matvec, uint32_t m, bench_error *error);
void bench_matvec_close(bench_matvec *matvec);

/* Activations of one input in the representation of some plans. */
typedef struct bench_act {
  weir_device *device;
  weir_stream stream;
  weir_plan *plan; /* whose quantize makes it; belongs to a bench_matvec */
  uint64_t tag;
  uint32_t k;
  void *x, *memory;
  uint64_t size;
} bench_act;

/* Straight from the x of `act`, whose memory is scratch for it. */
weir_status bench_linear_call(bench_matvec *matvec, const bench_act *act, uint32_t m);

/* x: [m,k] of the plan's x_type, in host memory. */
weir_status bench_act_open(const bench_matvec *matvec, const void *x, uint32_t m, bench_act *out_act);
/* Can this plan read it? */
bool bench_act_serves(const bench_act *act, const bench_matvec *matvec);
weir_status bench_act_call(const bench_act *act, uint32_t m);
void bench_act_close(bench_act *act);

#endif

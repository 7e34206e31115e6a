/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CUDA_H
#define BENCH_CUDA_H

#include "bench_report.h"

/* One line of a report, measured on a CUDA device with bench_lap.h. A call of a
 * matvec here is its quantize and its matvec. */

/* Plans, packs, checks and measures one matrix. count, inputs: as model_matrix. */
weir_status bench_cuda_matvec(bench *bench, const char *name, const weir_matvec_desc *desc, uint32_t count,
                              uint32_t inputs, bench_report *report);

#endif

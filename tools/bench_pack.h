/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PACK_H
#define BENCH_PACK_H

#include <weir/weir.h>

/* Packs all rows; those of a large matrix on several threads. The planes are in
 * [N,groups] order. */
weir_status bench_pack(const weir_plan *plan, const weir_matvec_desc *desc, const weir_matvec_source *source,
                       void *out_packed, uint64_t packed_size);

#endif

/* SPDX-License-Identifier: MIT */

/* synthetic.h: random weights, for measuring. Matrices are int4 in groups of 32 with
 * zeros of 8 bits; where int8 is asked for, it is symmetric with one scale a row. */
#ifndef GEMMA_SYNTHETIC_H
#define GEMMA_SYNTHETIC_H

#include "library.h"

weir_status gemma_synthetic_describe(uint32_t n, uint32_t k, weir_op op, weir_matvec_desc *desc);
/* The same for the same name and rows, whatever the cut. */
weir_status gemma_synthetic_rows(const char *name, const weir_matvec_desc *desc, uint32_t n0, uint32_t n1,
                                 void *out_codes, void *out_scales, void *out_zeros);

#endif

/* SPDX-License-Identifier: MIT */

/* gemma_ptx.h: the text of gemma_kernels.sm_NN.ptx; the build makes gemma_ptx.c of it, so that
 * the program finds its kernels wherever it is. */
#ifndef GEMMA_PTX_H
#define GEMMA_PTX_H

extern const char gemma_ptx_sm_80[], gemma_ptx_sm_90[];

#endif

/* SPDX-License-Identifier: MIT */

/* parallel.h: rows of a matrix, shared out to the processors that this process may use, or WEIR_THREADS of them. */
#ifndef GEMMA_PARALLEL_H
#define GEMMA_PARALLEL_H

#include "library.h"

typedef weir_status (*gemma_rows_fn)(void *arg, uint32_t n0, uint32_t n1);

/* Calls work for blocks of at most `block` rows until all of [0, rows) are done, from
 * several threads at once; after a failure, from this one once more. The status and the sentence are those of
 * a block that failed. */
weir_status gemma_parallel(uint32_t rows, uint32_t block, gemma_rows_fn work, void *arg);
/* How many threads gemma_parallel uses at most, the caller's included. */
uint32_t gemma_threads(void);

#endif

/* SPDX-License-Identifier: MIT */

/* library.h: libweir, opened at run time, and how this program reports errors. */
#ifndef GEMMA_LIBRARY_H
#define GEMMA_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/weir.h>

/* The table of libweir's functions; null before gemma_library_open. */
extern const weir_api *weir;

/* dlopens `path`, or libweir.so.0 when it is null. */
weir_status gemma_library_open(const char *path);

/* Keeps one sentence for gemma_error and returns code. What libweir reported stays as it is:
 * a function that passes on libweir's status does not call this. */
weir_status gemma_fail(weir_status code, const char *format, ...) WEIR_PRINTF(2, 3);
/* The sentence of the latest failure, this program's or libweir's, for `code`. */
const char *gemma_error(weir_status code);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <weir/plugin.h> /* WEIR_PRINTF */

/* One line on stderr, rewritten in place, only when stderr is a terminal; at most
 * ten times a second. Anything printed after it is preceded by progress_clear(). */
void progress_show(const char *format, ...) WEIR_PRINTF(1, 2);
void progress_clear(void);

#endif

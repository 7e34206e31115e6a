/* SPDX-License-Identifier: MIT */
#ifndef SUGGEST_H
#define SUGGEST_H

#include <stddef.h>

/* The one of `names` that a typing mistake away from `text` is; null when none is near. */
const char *suggest_nearest(const char *text, const char *const *names, size_t count);

#endif

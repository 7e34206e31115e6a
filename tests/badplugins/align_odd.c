/* SPDX-License-Identifier: MIT */

/* A plan whose alignment is no power of two. */
#define FAKE_NAME "align_odd"
#define FAKE_ALIGN 3
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Compiled with a header that had no linear: the table ends before it, and what
 * follows there must not be called. */
#define FAKE_NAME "linear_older"
#define FAKE_VTABLE_SIZE offsetof(weir_matvec_vtable, linear)
#define FAKE_MEMBER_LINEAR noting_linear
#include "noting.h"

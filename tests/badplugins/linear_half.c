/* SPDX-License-Identifier: MIT */

/* The table ends in the middle of linear: the member is not there, nor is half of it. */
#define FAKE_NAME "linear_half"
#define FAKE_VTABLE_SIZE (offsetof(weir_matvec_vtable, linear) + 4)
#define FAKE_MEMBER_LINEAR noting_linear
#include "noting.h"

/* SPDX-License-Identifier: MIT */

/* The table ends in the middle of matvec. */
#define FAKE_NAME "table_half_member"
#define FAKE_VTABLE_SIZE (offsetof(weir_matvec_vtable, matvec) + 4)
#include "fake.h"

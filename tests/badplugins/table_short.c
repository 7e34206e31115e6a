/* SPDX-License-Identifier: MIT */

/* The table ends before matvec, a mandatory member. */
#define FAKE_NAME "table_short"
#define FAKE_VTABLE_SIZE offsetof(weir_matvec_vtable, matvec)
#include "fake.h"

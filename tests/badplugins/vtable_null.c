/* SPDX-License-Identifier: MIT */

/* An operation without a table. */
#define FAKE_NAME "vtable_null"
#define FAKE_OPS {WEIR_OP_INT4_MATVEC, 0, NULL}
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Brings an operation of a later ABI beside one that this host knows. */
#define FAKE_NAME "op_unknown"
#define FAKE_OPS {99, 0, "not a table"}, {WEIR_OP_INT4_MATVEC, 0, &fake_vtable}
#define FAKE_MARK 80.0f
#include "fake.h"

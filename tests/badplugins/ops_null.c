/* SPDX-License-Identifier: MIT */

/* Says that it has operations, and has no list of them. */
#define FAKE_NAME "ops_null"
#define FAKE_OPS_POINTER NULL
#define FAKE_OP_COUNT 0x7fffffffu
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* The table says that it has no size. */
#define FAKE_NAME "table_size_zero"
#define FAKE_VTABLE_SIZE 0
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Well-behaved; its score ties with tied_b's. */
#define FAKE_NAME "tied_a"
#define FAKE_MARK 10.0f
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Well-behaved; its score ties with tied_a's. */
#define FAKE_NAME "tied_b"
#define FAKE_MARK 20.0f
#include "fake.h"

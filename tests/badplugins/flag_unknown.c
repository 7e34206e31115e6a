/* SPDX-License-Identifier: MIT */

/* Has a flag bit that ABI 1.0 does not define. */
#define FAKE_NAME "flag_unknown"
#define FAKE_FLAGS 0x80u
#include "fake.h"

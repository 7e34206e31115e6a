/* SPDX-License-Identifier: MIT */

/* Has no name. */
#define FAKE_NAME NULL
#define FAKE_REASON "serves"
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Well-behaved; scores the most that is allowed. */
#define FAKE_NAME "high"
#define FAKE_SCORE 1000
#define FAKE_MARK 30.0f
#include "fake.h"

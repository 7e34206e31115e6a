/* SPDX-License-Identifier: MIT */

/* Well-behaved; scores below all the others, yet serves. */
#define FAKE_NAME "low"
#define FAKE_SCORE 1
#define FAKE_MARK 40.0f
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Well-behaved; refuses everything and says why. */
#define FAKE_NAME "refuser"
#define FAKE_SCORE 0
#define FAKE_REASON "the moon is not full"
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Well-behaved; wants a workspace and the widest alignment. */
#define FAKE_NAME "roomy"
#define FAKE_WORKSPACE 1000
#define FAKE_ALIGN 256
#define FAKE_MARK 50.0f
#include "fake.h"

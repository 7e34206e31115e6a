/* SPDX-License-Identifier: MIT */

/* Its name is that of another test plugin. */
#define FAKE_NAME "tied_a"
#define FAKE_MARK 90.0f
#include "fake.h"

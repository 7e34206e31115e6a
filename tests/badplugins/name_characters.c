/* SPDX-License-Identifier: MIT */

/* Its name could not be written in a selection. */
#define FAKE_NAME "Bad,Name"
#include "fake.h"

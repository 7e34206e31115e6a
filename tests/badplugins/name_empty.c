/* SPDX-License-Identifier: MIT */

/* Its name is empty. */
#define FAKE_NAME ""
#include "fake.h"

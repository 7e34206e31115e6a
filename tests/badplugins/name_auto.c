/* SPDX-License-Identifier: MIT */

/* Its name is the word that selections use for the default. */
#define FAKE_NAME "auto"
#include "fake.h"

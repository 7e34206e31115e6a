/* SPDX-License-Identifier: MIT */

/* The symbol is there, but not what it should be. */
#define FAKE_NAME "bad_magic"
#define FAKE_MAGIC 0x31415926u
#include "fake.h"

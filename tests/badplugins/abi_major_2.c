/* SPDX-License-Identifier: MIT */

/* Speaks an ABI that this header does not know. */
#define FAKE_NAME "abi_major_2"
#define FAKE_MAJOR 2
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Calls a function that nobody has; linked lazily, so that only RTLD_NOW tells. */
#define FAKE_NAME "undefined_symbol"
#define FAKE_SCORE weir_test_undefined()
extern int weir_test_undefined(void);
#include "fake.h"

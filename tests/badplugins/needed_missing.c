/* SPDX-License-Identifier: MIT */

/* Linked to a library whose soname is no file: see needed_gone.c. */
#define FAKE_NAME "needed_missing"
#define FAKE_SCORE weir_test_gone()
extern int weir_test_gone(void);
#include "fake.h"

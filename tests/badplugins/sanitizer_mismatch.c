/* SPDX-License-Identifier: MIT */

/* Compiled for a sanitizer that its host was not compiled for. */
#define FAKE_NAME "sanitizer_mismatch"
#define FAKE_SANITIZER (WEIR_SANITIZER == WEIR_SANITIZER_THREAD ? WEIR_SANITIZER_MEMORY : WEIR_SANITIZER_THREAD)
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* A plan whose alignment is above the 256 that memory has. */
#define FAKE_NAME "align_too_big"
#define FAKE_ALIGN 512
#include "fake.h"

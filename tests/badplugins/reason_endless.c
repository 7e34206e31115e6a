/* SPDX-License-Identifier: MIT */

/* Fills the reason without a NUL at its end. */
#define FAKE_NAME "reason_endless"
#define FAKE_SCORE_BODY out->value = 400; memset(out->reason, 103, sizeof out->reason)
#include "fake.h"

/* SPDX-License-Identifier: MIT */

/* Refuses and does not say why. */
#define FAKE_NAME "score_silent"
#define FAKE_SCORE_BODY out->value = 0
#include "fake.h"

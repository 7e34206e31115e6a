/* SPDX-License-Identifier: MIT */

/* Answers with a score that does not exist. */
#define FAKE_NAME "score_negative"
#define FAKE_SCORE (-5)
#include "fake.h"

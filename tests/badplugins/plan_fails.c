/* SPDX-License-Identifier: MIT */

/* Scores high, then fails to prepare, without a sentence. */
#define FAKE_NAME "plan_fails"
#define FAKE_SCORE 900
#define FAKE_PLAN_BODY return WEIR_E_NOMEM
#include "fake.h"

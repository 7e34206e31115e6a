/* SPDX-License-Identifier: MIT */

/* A mandatory member of the table is null. */
#define FAKE_NAME "member_null"
#define FAKE_MEMBER_PACK NULL
#include "fake.h"

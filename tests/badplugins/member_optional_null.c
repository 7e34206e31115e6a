/* SPDX-License-Identifier: MIT */

/* Leaves out the one optional member: the host answers for it. */
#define FAKE_NAME "member_optional_null"
#define FAKE_MEMBER_WORKSPACE_SIZE NULL
#define FAKE_MARK 70.0f
#include "fake.h"

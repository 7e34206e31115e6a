/* SPDX-License-Identifier: MIT */

/* Well-behaved; has a linear() of its own, whose mark is not that of its matvec(). */
#define FAKE_NAME "linear_own"
#define FAKE_MEMBER_LINEAR noting_linear
#include "noting.h"

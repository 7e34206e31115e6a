/* SPDX-License-Identifier: MIT */

/* Well-behaved; the optional linear is null: the host quantises and multiplies. */
#define FAKE_NAME "linear_null"
#include "noting.h"

/* SPDX-License-Identifier: MIT */

/* The weir_plugin struct ends before its mandatory members do. */
#define FAKE_NAME "header_short"
#define FAKE_STRUCT_SIZE 20
#include "fake.h"

// SPDX-License-Identifier: MIT
//
// The yardstick of weir bench, compiled for the host.
#define WEIR_EMULATE
#include "../../ptx/plain_read.cu"

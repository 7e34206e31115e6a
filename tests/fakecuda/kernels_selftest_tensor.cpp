// SPDX-License-Identifier: MIT
#define WEIR_EMULATE
#include "selftest_tensor_kernels.cu"

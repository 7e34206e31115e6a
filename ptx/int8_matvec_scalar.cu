// SPDX-License-Identifier: MIT
#include "matvec.cuh"

MATVEC_KERNELS(int8_matvec_scalar, 8, ACT_SCALAR, MATVEC_KERNEL)

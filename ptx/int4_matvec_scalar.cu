// SPDX-License-Identifier: MIT
#include "matvec.cuh"

MATVEC_KERNELS(int4_matvec_scalar, 4, ACT_SCALAR, MATVEC_KERNEL_LEAN)

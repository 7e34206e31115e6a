// SPDX-License-Identifier: MIT
#include "matvec.cuh"

MATVEC_KERNELS(int4_matvec_vector, 4, ACT_VECTOR, MATVEC_KERNEL_LEAN)
MATVEC_KERNELS_M1(int4_matvec_vector, _m1_x, 4, ACT_FROM_X, MATVEC_KERNEL_LEAN)

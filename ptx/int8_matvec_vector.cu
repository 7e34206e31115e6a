// SPDX-License-Identifier: MIT
#include "matvec.cuh"

MATVEC_KERNELS(int8_matvec_vector, 8, ACT_VECTOR, MATVEC_KERNEL)
MATVEC_KERNELS_M1(int8_matvec_vector, _m1_x, 8, ACT_FROM_X, MATVEC_KERNEL)

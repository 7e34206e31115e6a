// SPDX-License-Identifier: MIT
#include "matvec.cuh"

MATVEC_KERNELS_INT4(int4_matvec_scalar, false)

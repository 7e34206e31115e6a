// SPDX-License-Identifier: MIT
#include "matvec.cuh"

MATVEC_KERNELS_INT8(int8_matvec_scalar, false)

// SPDX-License-Identifier: MIT
//
// The int8 matvec kernels, compiled for the host.
#define WEIR_EMULATE
#include "../../ptx/int8_matvec_scalar.cu"
#include "../../ptx/int8_matvec_vector.cu"

// SPDX-License-Identifier: MIT
//
// The int4 matvec kernels, compiled for the host.
#define WEIR_EMULATE
#include "../../ptx/int4_matvec_scalar.cu"
#include "../../ptx/int4_matvec_vector.cu"

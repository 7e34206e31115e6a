// SPDX-License-Identifier: MIT
//
// The kernels that quantise activations, compiled for the host.
#define WEIR_EMULATE
#include "../../ptx/quantize_scalar.cu"
#include "../../ptx/quantize_vector.cu"

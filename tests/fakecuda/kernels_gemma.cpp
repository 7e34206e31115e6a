// SPDX-License-Identifier: MIT
//
// The kernels of examples/gemma, compiled for the host.
#define WEIR_EMULATE
#include "../../examples/gemma/gemma_kernels.cu"

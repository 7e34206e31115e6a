// SPDX-License-Identifier: MIT
//
// The attention kernels for f16, compiled for the host.
#define WEIR_EMULATE
#include "../../ptx/sdpa_f16_d64.cu"
#include "../../ptx/sdpa_f16_d128.cu"
#include "../../ptx/sdpa_f16_d256.cu"
#include "../../ptx/sdpa_f16_d512.cu"
#include "../../ptx/sdpa_f16_d512_wgmma.cu"

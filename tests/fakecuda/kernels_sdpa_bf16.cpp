// SPDX-License-Identifier: MIT
//
// The attention kernels for bf16, compiled for the host.
#define WEIR_EMULATE
#include "../../ptx/sdpa_bf16_d64.cu"
#include "../../ptx/sdpa_bf16_d128.cu"
#include "../../ptx/sdpa_bf16_d256.cu"
#include "../../ptx/sdpa_bf16_d512.cu"
#include "../../ptx/sdpa_bf16_d512_wgmma.cu"
#include "../../ptx/sdpa_merge.cu"

// SPDX-License-Identifier: MIT
#include "sdpa_wgmma.cuh"

SDPA_PAIR_KERNEL(bf16, true)

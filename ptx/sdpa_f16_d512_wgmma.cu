// SPDX-License-Identifier: MIT
#include "sdpa_wgmma.cuh"

SDPA_PAIR_KERNEL(f16, false)

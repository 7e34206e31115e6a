// SPDX-License-Identifier: MIT
#include "sdpa_prefill.cuh"
#include "sdpa_tile.cuh"

SDPA_TILE_KERNELS(f16, false, 256, 4, 64)
SDPA_PREFILL_KERNEL(f16, false, 256)

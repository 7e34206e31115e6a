// SPDX-License-Identifier: MIT
#include "sdpa_prefill.cuh"
#include "sdpa_tile.cuh"

SDPA_TILE_KERNELS(bf16, true, 256, 4, 64)
SDPA_PREFILL_KERNEL(bf16, true, 256)

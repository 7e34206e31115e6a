// SPDX-License-Identifier: MIT
#include "sdpa_tile.cuh"

SDPA_TILE_KERNELS(bf16, true, 512, 2, 32)

// SPDX-License-Identifier: MIT
#include "sdpa_tile.cuh"

SDPA_TILE_KERNELS(f16, false, 512, 2, 32)

// SPDX-License-Identifier: MIT
#include "gemma_heads.cuh"
#include "gemma_rows.cuh"
#include "gemma_sample.cuh"

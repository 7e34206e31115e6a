/* SPDX-License-Identifier: MIT */

/* What the driver's cuTensorMapEncodeTiled fills in (CUDA 12.0), and a kernel takes as a
 * parameter. C and C++. */
#ifndef WEIR_TENSOR_MAP_H
#define WEIR_TENSOR_MAP_H

#include <stdint.h>
#ifndef __cplusplus
#include <stdalign.h>
#endif

struct tensor_map {
  alignas(64) uint64_t opaque[16];
};

#endif

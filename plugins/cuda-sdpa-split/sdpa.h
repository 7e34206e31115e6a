/* SPDX-License-Identifier: MIT */

/* What the files of cuda-sdpa-split share. With WEIR_SDPA_STANDARD the same sources are
 * cuda-sdpa-standard, which never cuts the slots. */
#ifndef CUDA_SDPA_H
#define CUDA_SDPA_H

#include <weir/plugin.h>

#include "sdpa_args.h"

/* The kernels: for tiles of 16 rows, and of 32 or 64 (ptx/sdpa_tile.cuh), and of many
 * (ptx/sdpa_prefill.cuh, of 512 dimensions ptx/sdpa_wgmma.cuh), which is cuda-sdpa-standard's. */
enum sdpa_class { SDPA_FEW, SDPA_MORE, SDPA_MANY, SDPA_CLASSES };

/* One of them for a descriptor on a device; rows is 0 where it does not serve or fit. */
struct sdpa_kernel {
  uint32_t rows;    /* of a tile: a power of two */
  uint32_t threads; /* of a block */
  uint32_t buffers; /* for tiles of K and V */
  uint32_t shared;  /* bytes */
};

/* What a descriptor comes to on a device. */
struct sdpa_shape {
  uint32_t group; /* query heads of a KV head */
  uint32_t dim;   /* of the kernels: head_dim rounded up to 64, 128, 256 or 512 */
  uint32_t sm_count;
  struct sdpa_kernel kernel[SDPA_CLASSES];
};

/* How one call is cut. */
struct sdpa_cut {
  enum sdpa_class class;
  uint32_t row_tiles;
  uint32_t splits;    /* at most */
  uint64_t workspace; /* bytes */
};

/* 0, or the descriptor's shape does not fit into this much shared memory. */
int sdpa_shape_make(const weir_device_info *device, const weir_sdpa_desc *desc, struct sdpa_shape *out_shape);
struct sdpa_cut sdpa_cut_for(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, uint32_t q_len);
/* Of calls with up to so many queries. */
uint64_t sdpa_workspace(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, uint32_t q_len);
/* How many splits pay for calls of q_len_max queries with as many slots as are usual; 1: none. */
uint32_t sdpa_splits_that_pay(const struct sdpa_shape *shape, const weir_sdpa_desc *desc);

/* The driver's cuTensorMapEncodeTiled, or NULL: the device or the driver has no use for it. */
typedef int sdpa_encode_fn(struct tensor_map *out_map, int type, uint32_t rank, void *memory, const uint64_t *size,
                           const uint64_t *stride, const uint32_t *box, const uint32_t *every, int interleave,
                           int swizzle, int l2_promotion, int outside);
sdpa_encode_fn *sdpa_encode_of(const weir_host *host, const weir_device_info *device);
/* Fills in the maps of K and V for tiles of so many slots where that can be done. Where it cannot, for want
 * of the function or because of strides or a head_dim that boxes do not have, threads copy instead. */
void sdpa_map(sdpa_encode_fn *driver_encode, uint32_t slots, struct sdpa_kernel_args *args);

extern const weir_sdpa_vtable cuda_sdpa_vtable;

#endif

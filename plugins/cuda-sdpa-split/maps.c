/* SPDX-License-Identifier: MIT */

/* K and V as tensors of which the hardware of compute capability 9.0 copies boxes. */

#include "sdpa.h"

/* The driver's names for what is asked here. */
enum { UINT16 = 1, INTERLEAVE_NONE = 0, SWIZZLE_128B = 3, L2_PROMOTION_256B = 3, OUTSIDE_IS_ZERO = 0 };
enum { RANK = 5, COLUMNS = 64 /* of a panel */ };
static const int64_t STRIDE_END = (int64_t)1 << 40; /* bytes */

sdpa_encode_fn *sdpa_encode_of(const weir_host *host, const weir_device_info *device) {
  if (device->cc < 90 || !WEIR_HAS(host, weir_host, cuda_symbol)) {
    return NULL;
  }
  return (sdpa_encode_fn *)(uintptr_t)host->cuda_symbol(host, "cuTensorMapEncodeTiled");
}

static int encode(sdpa_encode_fn *driver_encode, const void *memory, const int64_t stride[3],
                  const struct sdpa_kernel_args *args, uint32_t slots, struct tensor_map *out_map) {
  uint32_t panels = args->head_dim / COLUMNS;
  uint64_t size[RANK] = {COLUMNS, args->kv_capacity, panels, args->kv_heads, args->batch};
  uint32_t box[RANK] = {COLUMNS, slots, panels, 1, 1}, every[RANK] = {1, 1, 1, 1, 1};
  uint64_t bytes[RANK - 1] = {0, COLUMNS * 2, 0, 0}; /* from one to the next, of all dimensions but the first */
  static const int dimension_of[3] = {4, 3, 1};      /* of stride[i]: batch, head, slot */
  for (int i = 0; i < 3; i++) {
    int is_single = size[dimension_of[i]] == 1; /* any stride will do, but for 0, which the driver might refuse */
    if (!is_single && (stride[i] <= 0 || 2 * stride[i] >= STRIDE_END)) {
      return 0;
    }
    bytes[dimension_of[i] - 1] = is_single ? COLUMNS * 2 : (uint64_t)(2 * stride[i]);
  }
  return driver_encode(out_map, UINT16, RANK, (void *)(uintptr_t)memory, size, bytes, box, every, INTERLEAVE_NONE,
                       SWIZZLE_128B, L2_PROMOTION_256B, OUTSIDE_IS_ZERO) == 0;
}

void sdpa_map(sdpa_encode_fn *driver_encode, uint32_t slots, struct sdpa_kernel_args *args) {
  if (driver_encode && args->flags & SDPA_KV_BY_16 && args->head_dim % COLUMNS == 0 && args->kv_capacity >= slots &&
      encode(driver_encode, args->k, args->k_stride, args, slots, &args->k_map) &&
      encode(driver_encode, args->v, args->v_stride, args, slots, &args->v_map)) {
    args->flags |= SDPA_KV_MAPS;
  }
}

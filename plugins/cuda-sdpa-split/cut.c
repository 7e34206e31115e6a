/* SPDX-License-Identifier: MIT */

/* Which kernels serve, and into how many splits the slots are cut at most. Into how many
 * they are cut in fact, the kernel decides from kv_len. */

#include "sdpa.h"

enum {
  SHARED_UNKNOWN = 99 * 1024, /* the least of all devices served */
  SM_COUNT_UNKNOWN = 64,
  TILES_ENOUGH = 4,           /* a multiprocessor: more are not split */
  SPLITS_PAY_FROM = 32768     /* slots * dimensions of a KV head */
};

static uint32_t dim_of(uint32_t head_dim) {
  return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : head_dim <= 256 ? 256 : 512;
}

static struct sdpa_kernel tile_kernel(uint32_t dim, uint32_t rows, uint32_t available) {
  for (uint32_t buffers = SDPA_BUFFERS_MOST; buffers >= SDPA_BUFFERS_LEAST; buffers--) {
    uint32_t shared = SDPA_TILE_SHARED(dim, rows, buffers);
    if (shared <= available) {
      return (struct sdpa_kernel){rows, SDPA_TILE_THREADS, buffers, shared};
    }
  }
  return (struct sdpa_kernel){0};
}

#ifdef WEIR_SDPA_STANDARD
static struct sdpa_kernel prefill_kernel(const weir_device_info *device, const weir_sdpa_desc *desc, uint32_t dim,
                                         uint32_t available) {
  if (desc->mask != WEIR_MASK_NONE || desc->softcap != 0 || !(desc->scale > 0)) {
    return (struct sdpa_kernel){0};
  }
  if (dim == 512) {
    /* Drivers of CUDA 12.1 and newer load PTX 8.1; 0: not told. */
    int is_old = device->driver_version && device->driver_version < 12010;
    if (device->cc != 90 || device->sm_count == 1 || is_old || SDPA_PAIR_SHARED > available) {
      return (struct sdpa_kernel){0};
    }
    return (struct sdpa_kernel){SDPA_PAIR_ROWS, SDPA_PAIR_THREADS, 0, SDPA_PAIR_SHARED};
  }
  if (SDPA_PREFILL_SHARED(dim) > available) {
    return (struct sdpa_kernel){0};
  }
  return (struct sdpa_kernel){SDPA_PREFILL_ROWS(dim), SDPA_PREFILL_THREADS, 0, SDPA_PREFILL_SHARED(dim)};
}
#endif

int sdpa_shape_make(const weir_device_info *device, const weir_sdpa_desc *desc, struct sdpa_shape *out_shape) {
  struct sdpa_shape shape = {.group = desc->q_heads / desc->kv_heads,
                             .dim = dim_of(desc->head_dim),
                             .sm_count = device->sm_count ? device->sm_count : SM_COUNT_UNKNOWN};
  uint32_t available = device->smem_per_block ? device->smem_per_block : SHARED_UNKNOWN;
  shape.kernel[SDPA_FEW] = tile_kernel(shape.dim, 16, available);
  shape.kernel[SDPA_MORE] = tile_kernel(shape.dim, SDPA_ROWS_MANY(shape.dim), available);
#ifdef WEIR_SDPA_STANDARD
  shape.kernel[SDPA_MANY] = prefill_kernel(device, desc, shape.dim, available);
#endif
  *out_shape = shape;
  return shape.kernel[SDPA_FEW].rows ? 0 : -1;
}

static enum sdpa_class class_for(const struct sdpa_shape *shape, uint32_t rows) {
  const struct sdpa_kernel *kernel = shape->kernel;
  if (kernel[SDPA_MANY].rows && rows > kernel[SDPA_MORE].rows) {
    return SDPA_MANY;
  }
  return kernel[SDPA_MORE].rows && rows > kernel[SDPA_FEW].rows ? SDPA_MORE : SDPA_FEW;
}

/* A multiprocessor holds one block, and a block takes as long as its share of the slots.
 * So `splits` take waves / splits, a wave begun being a wave paid for. Of equals, the
 * fewest: they leave less to merge. */
static uint32_t splits_for(uint32_t sm_count, uint64_t tiles) {
  if (tiles >= (uint64_t)TILES_ENOUGH * sm_count) {
    return 1;
  }
  uint32_t most = (uint32_t)(2 * sm_count / tiles) + 1, best = 1;
  double best_cost = 0;
  for (uint32_t splits = 1; splits <= most; splits++) {
    double cost = (double)((tiles * splits + sm_count - 1) / sm_count) / splits;
    if (splits == 1 || cost < 0.99 * best_cost) {
      best = splits;
      best_cost = cost;
    }
  }
  return best;
}

static struct sdpa_cut cut_into(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, enum sdpa_class class,
                                uint32_t row_tiles) {
  struct sdpa_cut cut = {.class = class, .row_tiles = row_tiles, .splits = 1};
#ifndef WEIR_SDPA_STANDARD
  uint64_t tiles = (uint64_t)desc->batch * desc->kv_heads * row_tiles;
  cut.splits = splits_for(shape->sm_count, tiles);
  if (cut.splits > 1) {
    cut.workspace = tiles * cut.splits * shape->kernel[class].rows * (desc->head_dim + 2) * sizeof(float);
  }
#else
  (void)shape;
  (void)desc;
  (void)splits_for;
#endif
  return cut;
}

struct sdpa_cut sdpa_cut_for(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, uint32_t q_len) {
  uint32_t rows = q_len * shape->group;
  enum sdpa_class class = class_for(shape, rows);
  uint32_t tile_rows = shape->kernel[class].rows;
  return cut_into(shape, desc, class, (rows + tile_rows - 1) / tile_rows);
}

/* What serves q_len queries must serve fewer. How much they need rises and falls: one
 * tile more than there are multiprocessors is cut, one less is not. So every number of
 * tiles is asked, of each kernel that fewer queries may come to. */
uint64_t sdpa_workspace(const struct sdpa_shape *shape, const weir_sdpa_desc *desc, uint32_t q_len) {
  struct sdpa_cut longest = sdpa_cut_for(shape, desc, q_len);
  uint64_t most = 0, enough = (uint64_t)TILES_ENOUGH * shape->sm_count;
  for (int class = 0; class <= (int)longest.class; class++) {
    uint32_t rows = shape->kernel[class].rows;
    uint64_t row_tiles = rows ? ((uint64_t)q_len * shape->group + rows - 1) / rows : 0;
    for (uint32_t tiles = 1; tiles <= row_tiles && (uint64_t)desc->batch * desc->kv_heads * tiles < enough; tiles++) {
      struct sdpa_cut cut = cut_into(shape, desc, (enum sdpa_class)class, tiles);
      most = cut.workspace > most ? cut.workspace : most;
    }
  }
  return most;
}

/* Splits cost a second launch, 1.5 us on an H100, and save most of the time of one block
 * that reads a whole KV head. Measured there (us, split and standard):
 *                  64 slots     128 slots    256 slots
 *   32:16 of 256   5.8  4.2     5.8  5.4     6.6   8.6
 *   16:2 of 256    5.2  4.0     5.3  5.5     5.3   8.6
 *   32:16 of 128   5.6  4.0     5.7  4.5     6.0   6.2
 *   32:4 of 512    6.5  6.4     6.7  9.9     6.9  17.0 */
uint32_t sdpa_splits_that_pay(const struct sdpa_shape *shape, const weir_sdpa_desc *desc) {
  uint32_t slots = desc->kv_len_hint ? desc->kv_len_hint : desc->kv_capacity;
  uint32_t rows = desc->q_len_max * shape->group, tile_rows = SDPA_ROWS_MANY(shape->dim);
  if (desc->window && desc->window < slots) {
    slots = desc->window;
  }
  if ((uint64_t)slots * desc->head_dim < SPLITS_PAY_FROM || rows > tile_rows) {
    return 1;
  }
  return splits_for(shape->sm_count, (uint64_t)desc->batch * desc->kv_heads);
}

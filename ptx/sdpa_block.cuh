// SPDX-License-Identifier: MIT
//
// What the blocks of sdpa_tile.cuh and sdpa_prefill.cuh do alike: rows into shared memory,
// looking at the mask, and rows of results out of it.
#pragma once

#include "sdpa_exact.cuh"

template <bool is_bf16>
DEVICE void multiply(float *c, const uint32_t *a, uint32_t b0, uint32_t b1) {
  if (is_bf16)
    mma_bf16(c, a, b0, b1);
  else
    mma_f16(c, a, b0, b1);
}

// In f16 a weight below 2^-14 loses bits, and below 2^-25 it is 0, so that many small ones
// would be missing from the sums that the total counts. So weights are 2^lift times as
// large; `most` is what they may exceed 1 by already, as a power of two.
template <bool is_bf16>
DEVICE float lift_of(float most) {
  return is_bf16 ? 0.0f : 14.0f - most;
}

// `count` rows of head_dim halves into shared memory, and zeros up to `rows` rows.
// Of a row, one warp copies all, or several rows at once where they are short. They lie in
// panels of so many rows, or, with 0, one after the other SDPA_TILE_PITCH(dim) apart.
template <int dim, int panel_rows>
DEVICE void copy_rows(uint8_t *shared, const uint16_t *from, int64_t stride, int count, int rows, uint32_t head_dim,
                      bool by_16, uint32_t warp, uint32_t warps, uint32_t lane) {
  enum { chunks = dim / 8 < 32 ? dim / 8 : 32, at_once = 32 / chunks, pitch = SDPA_TILE_PITCH(dim) };
  int row = (int)(warp * at_once + lane / chunks), step = (int)warps * at_once;
  NO_UNROLL for (uint32_t d = 8 * (lane % chunks); d < head_dim; d += 8 * chunks) {
    const uint16_t *source = from + row * stride + d;
    auto to = [=](int r) {
      return shared + (panel_rows ? panel_place(panel_rows, (uint32_t)r, d) : (uint32_t)r * pitch + 2 * d);
    };
    if (by_16) {
      UNROLL_BY_4 for (int r = row; r < rows; r += step, source += step * stride)
        copy_async16(to(r), r < count ? source : from, r < count ? 16 : 0);
    } else {
      NO_UNROLL for (int r = row; r < rows; r += step, source += step * stride)
        NO_UNROLL for (int i = 0; i < 8; i++) ((uint16_t *)to(r))[i] = r < count ? source[i] : 0;
    }
  }
}

// Rows of Q, and zeros up to `total` rows and for columns that there are not.
template <int dim>
DEVICE void copy_q(const sdpa_kernel_args &a, const row_tile &rows, uint8_t *shared, uint32_t total, uint32_t warp,
                   uint32_t warps, uint32_t lane) {
  NO_UNROLL for (uint32_t row = warp; row < total; row += warps) {
    bool is_there = row < rows.count;
    row_place place = place_of(a, rows, is_there ? row : 0);
    const uint16_t *from = (const uint16_t *)a.q + offset_of(a.q_stride, rows.batch, place.head, place.position);
    NO_UNROLL for (uint32_t d = 8 * lane; d < dim; d += 256) {
      uint8_t *to = shared + row * SDPA_TILE_PITCH(dim) + 2 * d;
      bool inside = is_there && d < a.head_dim;
      if (a.flags & SDPA_Q_BY_16)
        copy_async16(to, inside ? from + d : from, inside ? 16 : 0);
      else
        NO_UNROLL for (int i = 0; i < 8; i++) ((uint16_t *)to)[i] = inside ? from[d + i] : 0;
    }
  }
  copy_async_commit();
}

// Does any row attend a slot of [slot0, slot0 + slots), by the mask too? For a warp.
DEVICE bool any_attended(const sdpa_kernel_args &a, const row_tile &rows, int slot0, int end, uint32_t lane) {
  bool any = false;
  NO_UNROLL for (uint32_t row = 0; row < rows.count && !any; row++) {
    row_place place = place_of(a, rows, row);
    slot_range range = range_of(a, rows.kv_len, place.position);
    int64_t mask = mask_row(a, rows, place);
    NO_UNROLL for (int slot = max_int(slot0, range.lo) + (int)lane; slot < min_int(end, range.hi); slot += 32)
      any |= mask_at(a, mask + slot) != MINUS_INFINITY;
    any = warp_any(any);
  }
  return any;
}

// Row `row` of the tile from shared memory to where it belongs; true when it is no numbers.
DEVICE bool store_row(const sdpa_kernel_args &a, const row_tile &rows, uint32_t row, const uint8_t *sums, float most,
                      float total, bool is_partial, const partial_place &place, uint32_t lane) {
  float factor = total > 0.0f ? div_rn(1.0f, total) : 0.0f;
  row_place at = place_of(a, rows, row);
  int64_t o = offset_of(a.o_stride, rows.batch, at.head, at.position);
  bool is_bad = !is_finite(total);
  NO_UNROLL for (uint32_t d = 4 * lane; d < a.head_dim; d += 128) {
    word4 sum = *(const word4 *)(sums + 4 * d);
    float value[4] = {bits_to_float(sum.x), bits_to_float(sum.y), bits_to_float(sum.z), bits_to_float(sum.w)};
    is_bad = is_bad || !(is_finite(value[0]) && is_finite(value[1]) && is_finite(value[2]) && is_finite(value[3]));
    UNROLL for (int i = 0; i < 4; i++) value[i] = mul_rn(value[i], factor);
    if (is_partial)
      *(word4 *)(place.sums + (uint64_t)row * a.head_dim + d) = sum;
    else
      store_four(a, o + d, value);
  }
  if (is_partial && lane == 0) {
    place.stats[2 * row] = most;
    place.stats[2 * row + 1] = total;
  }
  return warp_any(is_bad);
}

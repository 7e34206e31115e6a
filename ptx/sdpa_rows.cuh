// SPDX-License-Identifier: MIT
//
// Which query rows a block has, which slots they attend, and how the slots are cut.
//
// The query heads that share a KV head are rows of one matrix (pack-GQA): row r is
// position r / group of head r % group, so that K and V serve them all. Rows are cut into
// tiles of tile_rows. The slots that any row of a tile attends are cut into splits, by
// the kv_len that is found on the device, so that a captured graph stays balanced as the
// cache grows, however large its buffer is.
#pragma once

#include "sdpa_args.h"
#include "tensor.cuh"

struct row_tile {
  uint32_t batch, kv_head, index; // index among the row tiles of this KV head
  uint32_t first, count;          // rows
  int kv_len;
  int begin, end;                 // slots that some row attends
  uint32_t splits;                // that they are cut into; 0: nothing is attended
  uint32_t each, longer;          // groups of 8 slots of a split, and one more in the first so many splits
};

// n / d for n below 2^31.
DEVICE uint32_t divide(uint32_t n, const sdpa_divisor &d) {
  return (uint32_t)((uint64_t)n * d.multiplier >> (31 + d.shift));
}

// Where a row of the tile is: its position and its query head.
struct row_place {
  uint32_t position, head;
};
DEVICE row_place place_of(const sdpa_kernel_args &a, const row_tile &t, uint32_t row) {
  uint32_t r = t.first + row, position = divide(r, a.group);
  return {position, t.kv_head * a.group.value + (r - position * a.group.value)};
}

DEVICE int min_int(int a, int b) { return a < b ? a : b; }
DEVICE int max_int(int a, int b) { return a > b ? a : b; }

// Slots [lo, hi) are attended at this position, but for what the mask drops.
struct slot_range {
  int lo, hi;
};
DEVICE slot_range range_of(const sdpa_kernel_args &a, int kv_len, uint32_t position) {
  int p = kv_len - (int)a.q_len + (int)position;
  slot_range range = {0, kv_len};
  if (a.flags & SDPA_IS_CAUSAL) range.hi = max_int(0, min_int(kv_len, p + 1));
  if (a.window) range.lo = max_int(0, p - (int)a.window + 1);
  return range;
}

DEVICE row_tile rows_of_tile(const sdpa_kernel_args &a, uint32_t batch, uint32_t kv_head, uint32_t index) {
  row_tile t;
  t.batch = batch;
  t.kv_head = kv_head;
  t.index = index;
  t.first = index << a.tile_shift;
  uint32_t rows = a.q_len * a.group.value;
  t.count = rows - t.first < a.tile_rows ? rows - t.first : a.tile_rows;
  return t;
}

// Which slots the tile's rows attend, and how they are cut. A guess may be made before waiting
// for the kernel that writes kv_len; it must leave nothing in the L1, where it would be found
// again.
DEVICE void cut_slots(const sdpa_kernel_args &a, row_tile &t, bool is_guess = false) {
  t.kv_len = (int)a.kv_len;
  if (a.kv_len_device) {
    const uint32_t *kv_len = (const uint32_t *)a.kv_len_device + t.batch;
    int given = (int)(is_guess ? load_of_blocks(kv_len) : load_shared_by_all(kv_len));
    t.kv_len = max_int(0, min_int((int)a.kv_capacity, given));
  }
  t.begin = range_of(a, t.kv_len, divide(t.first, a.group)).lo;
  t.end = range_of(a, t.kv_len, divide(t.first + t.count - 1, a.group)).hi;
  t.splits = t.each = t.longer = 0;
  if (t.end <= t.begin) return;
  uint32_t slots = (uint32_t)(t.end - t.begin), groups = (slots + 7) / 8;
  uint32_t wanted = (slots + (1u << a.split_shift) - 1) >> a.split_shift;
  if (wanted >= a.splits.value) { // as always when the cache is long
    t.splits = a.splits.value;
    t.each = divide(groups, a.splits);
  } else {
    t.splits = wanted;
    t.each = groups / wanted;
  }
  t.longer = groups - t.each * t.splits;
}

// The slots of a split: tiles of tile_slots at begin, begin + step, ... below end. Long
// splits take turns tile by tile, so that what is read at one time lies close together
// (on an H100 worth 1 to 5 %); short ones are cut evenly, to groups of 8 slots.
struct split_slots {
  int begin, end, step;
};
DEVICE split_slots slots_of(const row_tile &t, uint32_t split, int tile_slots) {
  int turn = (int)t.splits * tile_slots;
  if (t.end - t.begin >= 8 * turn) return {t.begin + (int)split * tile_slots, t.end, turn};
  uint32_t before = split * t.each + (split < t.longer ? split : t.longer);
  int begin = t.begin + 8 * (int)before;
  return {begin, min_int(t.end, begin + 8 * (int)(t.each + (split < t.longer))), tile_slots};
}

// Where the results of a split lie until they are merged: sums, then maximum and total.
struct partial_place {
  float *sums;  // of row 0 of the tile: [tile_rows][head_dim]
  float *stats; // [tile_rows][2]
};
DEVICE partial_place partial_of(const sdpa_kernel_args &a, const row_tile &t, uint32_t split) {
  uint64_t tiles = (uint64_t)a.batch * a.kv_heads * a.row_tiles;
  uint64_t at = ((uint64_t)t.batch * a.kv_heads + t.kv_head) * a.row_tiles + t.index;
  uint64_t row = (at * a.splits.value + split) << a.tile_shift;
  return {a.partial + row * a.head_dim, a.partial + ((tiles * a.splits.value) << a.tile_shift) * a.head_dim + row * 2};
}

DEVICE int64_t offset_of(const int64_t *stride, uint32_t i, uint32_t j, uint32_t k) {
  return i * stride[0] + j * stride[1] + k * stride[2];
}

// ---- Mask ---------------------------------------------------------------------

enum : uint32_t { MASK_NONE = 0, MASK_BOOL = 1, MASK_F32 = 2, MASK_F16 = 3, MASK_BF16 = 4 }; // weir_mask

// What the mask adds to the score at element `at`, in units of log2; -Inf: not attended.
DEVICE float mask_at(const sdpa_kernel_args &a, int64_t at) {
  if (a.mask_type == MASK_BOOL) return ((const uint8_t *)a.mask)[at] ? 0.0f : MINUS_INFINITY;
  uint32_t type = a.mask_type == MASK_F32 ? TYPE_F32 : a.mask_type == MASK_F16 ? TYPE_F16 : TYPE_BF16;
  float added = load_element(a.mask, (uint64_t)at, type);
  // The lowest finite number, which some hosts mean -Inf with, must not become one.
  return added == MINUS_INFINITY ? added : max_f32(mul_rn(added, LOG2_E), bits_to_float(0xff7fffffu));
}

DEVICE int64_t mask_row(const sdpa_kernel_args &a, const row_tile &t, const row_place &row) {
  return offset_of(a.mask_stride, t.batch, row.head, row.position);
}

// ---- Scores -------------------------------------------------------------------

// From q.k to the score in units of log2.
DEVICE float score_of(const sdpa_kernel_args &a, float dot) {
  float x = mul_rn(dot, a.scale);
  return a.softcap == 0.0f ? x : mul_rn(soft_capped(x, a.softcap), LOG2_E);
}

// What a maximum is taken for where it is subtracted: -Inf - -Inf must not come up.
DEVICE float base_of(float most) { return most == MINUS_INFINITY ? 0.0f : most; }

DEVICE bool is_finite(float f) { return (float_to_bits(f) & 0x7f800000u) != 0x7f800000u; }

// ---- Results ------------------------------------------------------------------

// Four elements of o, from `at` on.
DEVICE void store_four(const sdpa_kernel_args &a, int64_t at, const float *value) {
  if ((a.flags & SDPA_O_BY_8) && a.o_type != TYPE_F32) {
    bool is_bf16 = a.o_type == TYPE_BF16;
    word2 words = {is_bf16 ? pack_bf16(value[0], value[1]) : pack_f16(value[0], value[1]),
                   is_bf16 ? pack_bf16(value[2], value[3]) : pack_f16(value[2], value[3])};
    *(word2 *)((uint16_t *)a.o + at) = words;
    return;
  }
  UNROLL for (int i = 0; i < 4; i++) store_element(a.o, (uint64_t)at + i, a.o_type, value[i]);
}

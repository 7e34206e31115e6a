// SPDX-License-Identifier: MIT
//
// What sdpa_wgmma.cuh computes from: which row tiles a pair of blocks has, where things lie
// in shared memory, and the copies into it.
#pragma once

#include "sdpa_block.cuh"
#include "warpgroup.cuh"

enum { PAIR_WARPS = 8, PAIR_COPIERS = 4, PAIR_BUFFERS = 4 };

struct pair_memory {
  enum {
    own = 256,                         // columns of a block
    panels = own / PANEL_COLUMNS,
    slots = SDPA_PAIR_SLOTS,
    rows = SDPA_PAIR_ROWS / 2,         // of a warpgroup
    panel = slots * PANEL_ROW,         // bytes, of 64 rows or slots
    tile = panels * panel,             // of K, V, or Q of a warpgroup
    told = 4 * 16 * slots,             // dots that a warp is told
    q_at = 0,                          // [2] of a warpgroup
    buffers_at = q_at + 2 * tile,      // [PAIR_BUFFERS] of K or V
    tolds_at = buffers_at + PAIR_BUFFERS * tile, // [PAIR_WARPS]
    range_at = tolds_at + PAIR_WARPS * told, // [2 * rows] slot_range
    all_at = range_at + 16 * rows,     // [PAIR_WARPS] slot_range
    full_at = all_at + 8 * PAIR_WARPS, // [PAIR_BUFFERS] barriers, and so on
    free_at = full_at + 8 * PAIR_BUFFERS,
    q_full_at = free_at + 8 * PAIR_BUFFERS,
    q_free_at = q_full_at + 8,
    told_at = q_free_at + 8,           // [PAIR_WARPS]
    taken_at = told_at + 8 * PAIR_WARPS, // [PAIR_WARPS]: the other block's warp has taken what it was told
    end_at = taken_at + 8 * PAIR_WARPS
  };
  static_assert(rows == slots && tile % 1024 == 0, "panels are alike");
  static_assert((int)end_at <= (int)SDPA_PAIR_SHARED, "sdpa_args.h counts less than is used");
};

// Which buffer of the ring comes next, and the parity of its barriers' phase.
struct pair_ring {
  uint32_t at, parity;
  DEVICE_MEMBER void advance() {
    if (++at == PAIR_BUFFERS) {
      at = 0;
      parity ^= 1;
    }
  }
};

// The row tile that a pair has in its `turn`: all of them from the longest to the shortest,
// dealt out to and fro, so that every pair has about as much to do. False after its last.
DEVICE bool tile_of_turn(const sdpa_kernel_args &a, uint32_t turn, row_tile &rows) {
  uint32_t pairs = blocks_x() / 2, pair = block_x() / 2, heads = a.kv_heads * a.batch;
  uint32_t i = turn * pairs + (turn % 2 ? pairs - 1 - pair : pair);
  if (i >= a.row_tiles * heads) return false;
  uint32_t index = i / heads, head = i - index * heads, batch = head / a.kv_heads;
  rows = rows_of_tile(a, batch, head - batch * a.kv_heads, a.row_tiles - 1 - index);
  cut_slots(a, rows);
  return true;
}

DEVICE int tiles_of(const row_tile &rows) {
  return (max_int(0, rows.end - rows.begin) + pair_memory::slots - 1) / pair_memory::slots;
}

// ---- Copying ------------------------------------------------------------------

// A lane's piece of rows: 16 bytes, of the block's 256 columns those from 8 * lane on.
struct lane_piece {
  uint32_t d, from, bytes; // bytes is 0 for columns that there are not
};
DEVICE lane_piece piece_of(const sdpa_kernel_args &a, uint32_t rank, uint32_t lane) {
  uint32_t d = 8 * lane, from = pair_memory::own * rank + d;
  return {d, from < a.head_dim ? from : 0, from < a.head_dim ? 16u : 0u};
}

// What lane `lane` has.
DEVICE uint64_t of_lane(uint64_t v, uint32_t lane) {
  float low = shuffle_from(bits_to_float((uint32_t)v), (int)lane);
  float high = shuffle_from(bits_to_float((uint32_t)(v >> 32)), (int)lane);
  return (uint64_t)float_to_bits(high) << 32 | float_to_bits(low);
}

DEVICE void copy_piece(uint8_t *to, const uint16_t *from, bool is_there, bool by_16) {
  if (by_16)
    copy_async16(to, from, is_there ? 16 : 0);
  else
    NO_UNROLL for (int i = 0; i < 8; i++) ((uint16_t *)to)[i] = is_there ? from[i] : 0;
}

// Rows warp, warp + 4, ... of a tile of `count` rows, and zeros for those that there are not.
// Two of these rows that follow each other lie differently in their panels, then it repeats.
DEVICE void copy_tile(uint8_t *panels, const uint16_t *from, int64_t stride, int count, const lane_piece &piece, bool by_16,
                      uint32_t warp) {
  enum { rows = pair_memory::rows };
  uint8_t *even = panels + panel_place(rows, warp, piece.d), *odd = panels + panel_place(rows, warp + PAIR_COPIERS, piece.d);
  from += piece.from;
  const uint16_t *at = from + warp * stride;
  if (by_16 && count == rows) {
    UNROLL for (int i = 0; i < rows / PAIR_COPIERS; i++, at += PAIR_COPIERS * stride)
      copy_async16((i % 2 ? odd : even) + i / 2 * 2 * PAIR_COPIERS * PANEL_ROW, at, piece.bytes);
    return;
  }
  NO_UNROLL for (int row = (int)warp; row < rows; row += PAIR_COPIERS, at += PAIR_COPIERS * stride) {
    bool is_there = row < count && piece.bytes;
    copy_piece(panels + panel_place(rows, (uint32_t)row, piece.d), is_there ? at : from, is_there, by_16);
  }
}

// The rows of Q, and zeros for those that there are not. Lane i finds where row warp + 4i is.
DEVICE void copy_q_panels(const sdpa_kernel_args &a, const row_tile &rows, uint8_t *shared, uint32_t rank, uint32_t warp,
                          uint32_t lane) {
  typedef pair_memory memory;
  const lane_piece piece = piece_of(a, rank, lane);
  uint32_t mine = warp + PAIR_COPIERS * lane;
  row_place place = place_of(a, rows, mine < rows.count ? mine : 0);
  uint64_t q_of_lane = (uint64_t)offset_of(a.q_stride, rows.batch, place.head, place.position);
  NO_UNROLL for (uint32_t i = 0; i < 2 * memory::rows / PAIR_COPIERS; i++) {
    uint32_t row = warp + PAIR_COPIERS * i;
    const uint16_t *from = (const uint16_t *)a.q + of_lane(q_of_lane, i) + piece.from;
    uint8_t *panels = shared + memory::q_at + row / memory::rows * memory::tile;
    copy_piece(panels + panel_place(memory::rows, row % memory::rows, piece.d), from, row < rows.count && piece.bytes, a.flags & SDPA_Q_BY_16);
  }
}

// For each row tile Q, K of the first tile, then K of the next and V of this in turn, as they
// are used. A copy is announced when the one after it has been started.
DEVICE void copy_pair(const sdpa_kernel_args &a, uint8_t *shared, uint32_t rank, uint32_t warp, uint32_t lane) {
  typedef pair_memory memory;
  pair_ring next = {0, 1}; // waiting for a phase before the first is no wait
  uint32_t q_parity = 1;
  row_tile rows;
  NO_UNROLL for (uint32_t turn = 0; tile_of_turn(a, turn, rows); turn++) {
    int tiles = tiles_of(rows);
    if (tiles == 0) continue;
    barrier_sleep((uint64_t *)(shared + memory::q_free_at), q_parity);
    q_parity ^= 1;
    copy_q_panels(a, rows, shared, rank, warp, lane);
    copy_async_commit();
    uint32_t announced = memory::q_full_at;
    NO_UNROLL for (int i = 0; i < 2 * tiles + 2; i++) {
      bool is_v = i % 2;
      int tile = is_v ? i / 2 - 1 : i / 2;
      if (tile < 0 || tile >= tiles) continue;
      int slot0 = rows.begin + tile * memory::slots;
      const int64_t *stride = is_v ? a.v_stride : a.k_stride;
      const uint16_t *from = (const uint16_t *)(is_v ? a.v : a.k);
      from += offset_of(stride, rows.batch, rows.kv_head, (uint32_t)slot0);
      barrier_sleep((uint64_t *)(shared + memory::free_at) + next.at, next.parity);
      copy_tile(shared + memory::buffers_at + next.at * memory::tile, from, stride[2], min_int(memory::slots, rows.end - slot0),
                piece_of(a, rank, lane), a.flags & SDPA_KV_BY_16, warp);
      copy_async_commit();
      copy_async_wait<1>();
      show_to_hardware();
      barrier_arrive((uint64_t *)(shared + announced));
      announced = memory::full_at + 8 * next.at;
      next.advance();
    }
    copy_async_wait<0>();
    show_to_hardware();
    barrier_arrive((uint64_t *)(shared + announced));
  }
}

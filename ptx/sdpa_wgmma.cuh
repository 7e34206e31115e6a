// SPDX-License-Identifier: MIT
//
// Attention of tiles of 128 query rows of 512 dimensions by pairs of blocks, for prefill on
// Hopper: without a mask or a softcap, with a positive scale. 257 to 511 dimensions are
// served too, as 512 of which some are 0.
//
// The sums of 128 rows of 512 are more than the registers of a multiprocessor, and with
// 64 rows a block would read K and V faster than the L2 gives them. So D is cut: block c of
// a pair has columns 256c .. 256c + 255 of Q, K, V and of the sums. Its dots are partial,
// and each block stores its own into the other's shared memory. Both add the same two
// numbers, so they come to the same weights, bit by bit, and each works out all of them.
//
// In a block, two warpgroups have 64 rows each, and the four warps of a third copy. For
// each tile of 64 slots a warpgroup
//
//   begins  dots of this tile = q k
//   begins  sums += weights v of the tile before, while dots and what follows are on their way
//   sends   the dots, and adds those of the other block
//   forms   the weights of this tile in registers, where the products want them
//
// and while one warpgroup waits, the tensor cores have the other's work. A pair goes from
// row tile to row tile, so that Q, K and V of the next are there when the last is stored.
//
// On an H100 (32:4 heads, bf16, causal, 2048 queries) it takes 321 us, 428 TFLOP/s, where
// mma.sync takes 1163. Tried there and slower: plain stores to the other block and a fence
// (453 us), a fence before what was taken is answered (407), copies of the dots by the bulk
// copy engine (375 where this took 338), weights of one tile while the dots of the next are
// exchanged (340 to 370 where this took 335).
#pragma once

#include "sdpa_pair.cuh"

// A warp of those that compute.
struct pair_warp {
  uint8_t *shared;
  uint32_t warp, lane, rank;
  DEVICE_MEMBER uint64_t *barrier(uint32_t at, uint32_t i) const { return (uint64_t *)(shared + at) + i; }
  DEVICE_MEMBER uint8_t *told() const { return shared + pair_memory::tolds_at + warp * pair_memory::told + lane * 16; }
};

template <bool is_bf16>
DEVICE void begin_dots(const pair_warp &g, const pair_ring &now, float (&dot)[32]) {
  typedef pair_memory memory;
  barrier_sleep(g.barrier(memory::full_at, now.at), now.parity);
  const uint8_t *q = g.shared + memory::q_at + g.warp / 4 * memory::tile;
  const uint8_t *k = g.shared + memory::buffers_at + now.at * memory::tile;
  products_begin();
  UNROLL for (int panel = 0; panel < memory::panels; panel++)
    UNROLL for (int step = 0; step < PANEL_COLUMNS / 16; step++)
      multiply_64x64<is_bf16>(dot, q + panel * memory::panel, k + panel * memory::panel, step, panel + step > 0);
  products_commit();
}

template <bool is_bf16>
DEVICE void begin_sums(const pair_warp &g, const pair_ring &now, const uint32_t (&w)[16], float (&sums)[128]) {
  typedef pair_memory memory;
  barrier_sleep(g.barrier(memory::full_at, now.at), now.parity);
  const uint8_t *v = g.shared + memory::buffers_at + now.at * memory::tile;
  products_begin();
  UNROLL for (int step = 0; step < memory::slots / 16; step++)
    multiply_64x256<is_bf16>(sums, &w[4 * step], v + 16 * step * PANEL_ROW, memory::panel);
  products_commit();
}

// Sends this block's dots and adds those of the other; `parity` is that of the exchange. The
// other sends the next when it is answered that these have been taken, and by then their
// bytes are expected. (The answer orders nothing by the letter of the memory model; that what
// was read before it has been read rests on a warp's order, and on the way there and back.)
DEVICE void exchange_dots(const pair_warp &g, uint32_t parity, float (&dot)[32]) {
  typedef pair_memory memory;
  uint64_t *told_full = g.barrier(memory::told_at, g.warp), *taken = g.barrier(memory::taken_at, g.warp);
  uint8_t *told = g.told();
  barrier_sleep(taken, parity ^ 1);
  there tell = in_block(told, g.rank ^ 1), tell_full = in_block(told_full, g.rank ^ 1);
  UNROLL for (int j = 0; j < 8; j++) store_there(tell, j * 512, &dot[4 * j], tell_full);
  barrier_wait_for_pair(told_full, parity);
  UNROLL for (int j = 0; j < 8; j++) {
    word4 other = *(const word4 *)(told + 512 * j);
    dot[4 * j] = add_rn(dot[4 * j], bits_to_float(other.x));
    dot[4 * j + 1] = add_rn(dot[4 * j + 1], bits_to_float(other.y));
    dot[4 * j + 2] = add_rn(dot[4 * j + 2], bits_to_float(other.z));
    dot[4 * j + 3] = add_rn(dot[4 * j + 3], bits_to_float(other.w));
  }
  warp_barrier();
  if (g.lane == 0) {
    barrier_expect(told_full, memory::told);
    barrier_arrive_there(in_block(taken, g.rank ^ 1));
  }
}

// Maximum, total and weights of this lane's two rows.
struct pair_rows {
  float most[2], total[2];
};

// From dots to weights, in place; how much smaller what has been summed up must become, and
// whether it must. As in sdpa_prefill.cuh, the maximum that is subtracted follows the true
// one only when that has grown by more than 8.
template <bool is_bf16>
DEVICE bool weigh(float scale, pair_rows &r, float (&dot)[32], float (&rescale)[2]) {
  bool is_rescaled = false;
  UNROLL for (int h = 0; h < 2; h++) {
    float largest = dot[2 * h];
    UNROLL for (int j = 0; j < 8; j++) largest = max_f32(largest, max_f32(dot[4 * j + 2 * h], dot[4 * j + 2 * h + 1]));
    largest = max_f32(largest, shuffle_xor(largest, 1));
    largest = mul_rn(max_f32(largest, shuffle_xor(largest, 2)), scale);
    float before = r.most[h];
    bool is_its = largest > add_rn(before, 8.0f);
    if (is_its) r.most[h] = largest;
    rescale[h] = is_its ? exp2_fast(add_rn(before, -largest)) : 1.0f;
    is_rescaled = is_rescaled || is_its;
    float base = base_of(r.most[h]) - lift_of<is_bf16>(8.0f), sum = 0.0f;
    UNROLL for (int j = 0; j < 8; j++)
      UNROLL for (int e = 4 * j + 2 * h; e < 4 * j + 2 * h + 2; e++) {
        dot[e] = exp2_fast(fma_rn(dot[e], scale, -base));
        sum = add_rn(sum, dot[e]);
      }
    r.total[h] = add_rn(mul_rn(r.total[h], rescale[h]), sum);
  }
  return warp_any(is_rescaled);
}

// Slots that a row does not attend; `slot` is this lane's first.
DEVICE void drop_slots(const slot_range *range, int slot, float (&dot)[32]) {
  UNROLL for (int h = 0; h < 2; h++) {
    slot_range its = range[8 * h];
    UNROLL for (int j = 0; j < 8; j++)
      UNROLL for (int e = 0; e < 2; e++)
        if (slot + 8 * j + e < its.lo || slot + 8 * j + e >= its.hi) dot[4 * j + 2 * h + e] = MINUS_INFINITY;
  }
}

// From the dots of a tile to weights; whether sums must be rescaled.
template <bool is_bf16>
DEVICE bool weigh_tile(const sdpa_kernel_args &a, int slot0, const slot_range *all, const slot_range *range, pair_rows &rest,
                       float (&dot)[32], float (&rescale)[2], uint32_t lane) {
  if (slot0 < all->lo || slot0 + pair_memory::slots > all->hi) drop_slots(range, slot0 + 2 * (int)(lane % 4), dot);
  return weigh<is_bf16>(a.scale, rest, dot, rescale);
}

template <bool is_bf16>
DEVICE void pack_weights(const float (&dot)[32], uint32_t (&w)[16]) {
  UNROLL for (int i = 0; i < 16; i++)
    w[i] = is_bf16 ? pack_bf16(dot[2 * i], dot[2 * i + 1]) : pack_f16(dot[2 * i], dot[2 * i + 1]);
}

// redo_exactly of the block's own columns of a row.
template <bool is_bf16>
DEVICE void redo_columns(const sdpa_kernel_args &a, const row_tile &rows, uint32_t row, uint32_t first_column, uint32_t lane) {
  row_place at = place_of(a, rows, row);
  slot_range range = range_of(a, rows.kv_len, at.position);
  exact_row exact = {(const uint16_t *)a.q + offset_of(a.q_stride, rows.batch, at.head, at.position),
                     (const uint16_t *)a.k + offset_of(a.k_stride, rows.batch, rows.kv_head, 0),
                     (const uint16_t *)a.v + offset_of(a.v_stride, rows.batch, rows.kv_head, 0),
                     0, {rows.begin, rows.end, pair_memory::slots}, pair_memory::slots, range.lo, range.hi};
  int64_t o = offset_of(a.o_stride, rows.batch, at.head, at.position);
  NO_UNROLL for (uint32_t d0 = first_column; d0 < first_column + pair_memory::own && d0 < a.head_dim; d0 += EXACT_SLICE) {
    float sums[EXACT_AT_ONCE], most, total;
    attend_exactly<is_bf16>(a, exact, d0, lane, sums, &most, &total);
    UNROLL for (int i = 0; i < EXACT_AT_ONCE; i++) {
      uint32_t d = d0 + lane + 32 * i;
      if (d < a.head_dim) store_element(a.o, (uint64_t)o + d, a.o_type, total == 0.0f ? 0.0f : div_rn(sums[i], total));
    }
  }
}

// Results of one row, of this lane's four columns in every 16, to o and what follows; how many
// columns there are. Two lanes exchange half of what they have, so that four write 32 bytes.
template <uint32_t type>
DEVICE void store_row_part(const float *sums, float factor, uint8_t *o, bool is_there, uint32_t columns, bool by_8,
                           uint32_t lane) {
  UNROLL for (int i = 0; i < 16; i++) {
    const float *left = sums + 8 * i, *right = left + 4; // of columns 16i + 2 * (lane % 4), and 8 more
    if (type == TYPE_F32) {
      UNROLL for (int half = 0; half < 2; half++) {
        uint32_t d = 16 * i + 8 * half + 2 * (lane % 4);
        const float *two = half ? right : left;
        if (!is_there || d >= columns) continue;
        ((float *)o)[d] = mul_rn(two[0], factor);
        ((float *)o)[d + 1] = mul_rn(two[1], factor);
      }
      continue;
    }
    float value[4] = {mul_rn(left[0], factor), mul_rn(left[1], factor), mul_rn(right[0], factor), mul_rn(right[1], factor)};
    uint32_t low = type == TYPE_BF16 ? pack_bf16(value[0], value[1]) : pack_f16(value[0], value[1]);
    uint32_t high = type == TYPE_BF16 ? pack_bf16(value[2], value[3]) : pack_f16(value[2], value[3]);
    bool is_odd = lane % 2;
    uint32_t other = shuffle_xor(is_odd ? low : high, 1);
    word2 words = {is_odd ? other : low, is_odd ? high : other};
    uint32_t d = 16 * i + 8 * (lane % 2) + lane % 4 / 2 * 4;
    if (!is_there || d >= columns) continue;
    if (by_8)
      *(word2 *)(o + 2 * d) = words;
    else
      UNROLL for (int e = 0; e < 4; e++) ((uint16_t *)o)[d + e] = (uint16_t)((e < 2 ? words.x : words.y) >> e % 2 * 16);
  }
}

// Results of a warp's 16 rows to where they belong.
template <bool is_bf16>
DEVICE void store_sums(const sdpa_kernel_args &a, const row_tile &rows, uint32_t first, uint32_t rank, pair_rows &rest,
                       float (&sums)[128], uint32_t lane) {
  uint32_t bad[2]; // of rows whose sums are no numbers, bit 4 * row % 8
  uint32_t first_column = pair_memory::own * rank, columns = a.head_dim - min_int((int)a.head_dim, (int)first_column);
  UNROLL for (int h = 0; h < 2; h++) {
    float total = rest.total[h], most = rest.most[h], zero[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    total = add_rn(total, shuffle_xor(total, 1));
    total = add_rn(total, shuffle_xor(total, 2));
    UNROLL for (int i = 0; i < 64; i++) zero[i % 4] = fma_rn(sums[i / 2 * 4 + 2 * h + i % 2], 0.0f, zero[i % 4]);
    float none = add_rn(add_rn(zero[0], zero[1]), add_rn(zero[2], zero[3]));
    none = add_rn(none, shuffle_xor(none, 1));
    none = add_rn(none, shuffle_xor(none, 2));
    // What rounds off such a maximum is not small against 1; weights may have vanished.
    bad[h] = warp_ballot(!is_finite(total) || none != 0.0f ||
                         (is_finite(most) && !(most < 1048576.0f && most > -1048576.0f)));
    float factor = total > 0.0f ? div_rn(1.0f, total) : 0.0f;
    uint32_t row = first + lane / 4 + 8 * h;
    bool is_there = row < rows.count, by_8 = a.flags & SDPA_O_BY_8;
    row_place place = place_of(a, rows, is_there ? row : 0);
    uint64_t at = (uint64_t)offset_of(a.o_stride, rows.batch, place.head, place.position) + first_column;
    if (a.o_type == TYPE_F32)
      store_row_part<TYPE_F32>(sums + 2 * h, factor, (uint8_t *)((float *)a.o + at), is_there, columns, by_8, lane);
    else if (a.o_type == TYPE_BF16)
      store_row_part<TYPE_BF16>(sums + 2 * h, factor, (uint8_t *)((uint16_t *)a.o + at), is_there, columns, by_8, lane);
    else
      store_row_part<TYPE_F16>(sums + 2 * h, factor, (uint8_t *)((uint16_t *)a.o + at), is_there, columns, by_8, lane);
  }
  // Rows whose sums are no numbers, once more and exactly; see sdpa_exact.cuh.
  if ((bad[0] | bad[1]) == 0) return;
  warp_barrier();
  NO_UNROLL for (uint32_t i = 0; i < 16 && first + i < rows.count; i++)
    if ((i < 8 ? bad[0] : bad[1]) >> i % 8 * 4 & 1) redo_columns<is_bf16>(a, rows, first + i, first_column, lane);
}

// Which slots each row of a warp attends, and which all do.
DEVICE void find_ranges(const sdpa_kernel_args &a, const row_tile &rows, uint32_t first, slot_range *of_row, slot_range *of_all,
                        uint32_t lane) {
  warp_barrier();
  uint32_t row = first + lane % 16;
  bool has_rows = first < rows.count;
  if (lane < 16)
    of_row[row] = row < rows.count ? range_of(a, rows.kv_len, place_of(a, rows, row).position) : slot_range{0, rows.end};
  uint32_t last = min_int((int)rows.count, (int)first + 16) - 1;
  if (lane == 0)
    *of_all = {range_of(a, rows.kv_len, place_of(a, rows, has_rows ? last : 0).position).lo,
               range_of(a, rows.kv_len, place_of(a, rows, has_rows ? first : 0).position).hi};
  warp_barrier();
}

template <bool is_bf16>
DEVICE void compute_pair(const sdpa_kernel_args &a, uint8_t *shared, uint32_t rank, uint32_t warp, uint32_t lane) {
  typedef pair_memory memory;
  const pair_warp g = {shared, warp, lane, rank};
  uint32_t first = 16 * warp; // rows first + lane / 4 and 8 more are this lane's
  slot_range *of_row = (slot_range *)(shared + memory::range_at), *of_all = (slot_range *)(shared + memory::all_at) + warp;
  const slot_range *range = of_row + first + lane / 4;
  pair_ring next = {0, 0};
  uint32_t q_parity = 0, parity = 0;
  row_tile rows;
  pair_wait(); // the other block's barriers can be told
  NO_UNROLL for (uint32_t turn = 0; tile_of_turn(a, turn, rows); turn++) {
    int tiles = tiles_of(rows), slot0 = rows.begin;
    find_ranges(a, rows, first, of_row, of_all, lane);
    float sums[128], dot[32], rescale[2];
    uint32_t w[16];
    pair_rows rest = {{MINUS_INFINITY, MINUS_INFINITY}, {0.0f, 0.0f}};
    UNROLL for (int i = 0; i < 128; i++) sums[i] = 0.0f;
    if (tiles > 0) {
      barrier_sleep(g.barrier(memory::q_full_at, 0), q_parity);
      q_parity ^= 1;
      begin_dots<is_bf16>(g, next, dot);
      products_wait<0>(dot);
      if (lane == 0) {
        barrier_arrive(g.barrier(memory::free_at, next.at));
        if (tiles == 1) barrier_arrive(g.barrier(memory::q_free_at, 0));
      }
      next.advance();
      exchange_dots(g, parity, dot);
      parity ^= 1;
      weigh_tile<is_bf16>(a, slot0, of_all, range, rest, dot, rescale, lane);
      pack_weights<is_bf16>(dot, w);
      NO_UNROLL for (int left = tiles - 1; left > 0; left--) {
        begin_dots<is_bf16>(g, next, dot);
        uint32_t k_at = next.at;
        next.advance();
        begin_sums<is_bf16>(g, next, w, sums);
        products_wait<1>(dot);
        if (lane == 0) {
          barrier_arrive(g.barrier(memory::free_at, k_at));
          if (left == 1) barrier_arrive(g.barrier(memory::q_free_at, 0));
        }
        exchange_dots(g, parity, dot);
        parity ^= 1;
        slot0 += memory::slots;
        bool is_rescaled = weigh_tile<is_bf16>(a, slot0, of_all, range, rest, dot, rescale, lane);
        products_wait<0>(sums);
        if (lane == 0) barrier_arrive(g.barrier(memory::free_at, next.at));
        next.advance();
        if (is_rescaled)
          UNROLL for (int i = 0; i < 128; i++) sums[i] = mul_rn(sums[i], rescale[i / 2 % 2]);
        pack_weights<is_bf16>(dot, w);
      }
      begin_sums<is_bf16>(g, next, w, sums);
      products_wait<0>(sums);
      if (lane == 0) barrier_arrive(g.barrier(memory::free_at, next.at));
      next.advance();
    }
    // What is found anew takes no registers until now.
    uint32_t warp_now = warp, lane_now = lane, rank_now = rank;
    forget(turn);
    forget(warp_now);
    forget(lane_now);
    forget(rank_now);
    tile_of_turn(a, turn, rows);
    store_sums<is_bf16>(a, rows, 16 * warp_now, rank_now, rest, sums, lane_now);
  }
}

template <bool is_bf16>
DEVICE void attend_pair(const sdpa_kernel_args &a) {
  typedef pair_memory memory;
  allow_next_kernel();
  uint8_t *shared = dynamic_panels();
  uint32_t warp = one_of_warp(thread_x() / 32), lane = thread_x() % 32, rank = block_x() % 2;
  if (thread_x() == 0) {
    NO_UNROLL for (int i = 0; i < PAIR_BUFFERS; i++) {
      barrier_init((uint64_t *)(shared + memory::full_at) + i, 32 * PAIR_COPIERS);
      barrier_init((uint64_t *)(shared + memory::free_at) + i, PAIR_WARPS);
    }
    barrier_init((uint64_t *)(shared + memory::q_full_at), 32 * PAIR_COPIERS);
    barrier_init((uint64_t *)(shared + memory::q_free_at), PAIR_WARPS);
    NO_UNROLL for (int i = 0; i < PAIR_WARPS; i++) {
      barrier_init((uint64_t *)(shared + memory::told_at) + i, 1);
      barrier_init((uint64_t *)(shared + memory::taken_at) + i, 1);
      barrier_expect((uint64_t *)(shared + memory::told_at) + i, memory::told);
    }
  }
  warp_barrier(); // barriers of a pair are for whole warps
  pair_arrive();
  block_barrier();
  wait_for_previous_kernel();
  if (warp >= PAIR_WARPS) {
    leave_registers<24>();
    copy_pair(a, shared, rank, warp - PAIR_WARPS, lane);
    warp_barrier();
    pair_wait();
  } else {
    take_registers<240>();
    compute_pair<is_bf16>(a, shared, rank, warp, lane);
  }
  // Nothing may be on its way to a block that has ended.
  warp_barrier();
  pair_arrive();
  pair_wait();
}

#define SDPA_PAIR_KERNEL(type, is_bf16)                                                                      \
  KERNEL_PAIR(SDPA_PAIR_THREADS, sdpa_##type##_d512_wgmma, const GRID_CONSTANT sdpa_kernel_args a) { attend_pair<is_bf16>(a); }

// SPDX-License-Identifier: MIT
//
// Attention of a tile of 16 query rows, or of 64 or 32, by one block, for decode.
//
// Four warps copy: tiles of K and V in turn, into a ring of buffers, as soon as
// a buffer is free. Eight warps compute, `slots` of the split at a time:
//
//   K tile is there
//   dots = q k                     each warp: 16 rows, every so many-th group of 8 slots
//   maximum of each row            of all warps, through shared memory: barrier
//   weights = exp2(score - max)    as 16-bit numbers to shared memory: barrier
//   V tile is there
//   sums = sums * rescale + w v    each warp: all rows, every eighth group of 8 of D
//
// D is cut over the warps, not the rows, so the sums of 512 dimensions fit into
// registers, and V is read from shared memory once. So is K, as Q stays in registers
// (but for more than 16 rows or 256 dimensions).
//
// Decode is bound by reading K and V, so what counts is that copies never pause. A thread
// that starts a copy waits while the memory system is full of them, which on an H100 took
// more than half of the time of warps that did both; hence warps that do nothing else.
// There whole tiles are copied as boxes of a tensor, by hardware: reads of 128 bytes and more
// that are not made by threads, 16 bytes at a time, get 3 % more a second from memory.
// K and V lie in panels, so that the eight rows of a matrix that ldmatrix reads lie in
// different banks; rows of Q and of weights are 16 bytes longer than need be for that.
#pragma once

#include "sdpa_block.cuh"

enum { COMPUTING = 32 * SDPA_WARPS }; // threads

// Of 512 dimensions, V fragments that are loaded together: as many as leave registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
enum { COLUMNS_OF_512 = 4 };
#else
enum { COLUMNS_OF_512 = 2 };
#endif

template <int dim, int rows16>
struct tile_memory {
  enum {
    rows = 16 * rows16,
    slots = SDPA_TILE_SLOTS(dim),
    pitch = SDPA_TILE_PITCH(dim),    // bytes between rows of Q
    panel = slots * PANEL_ROW,       // bytes of 64 columns of K or V
    weights_pitch = SDPA_TILE_WEIGHTS_PITCH(dim),
    halves = dim == 512 && rows16 == 1 ? 2 : 1,  // of D, in q k, where groups of slots are few
    shares = SDPA_WARPS / rows16 / halves,       // warps with the same rows and half
    q_at = 0,
    weights_at = q_at + rows * pitch,
    most_at = weights_at + rows * weights_pitch, // [shares][rows]
    total_at = most_at + 4 * shares * rows,      // the same
    rescale_at = total_at + 4 * shares * rows,   // [rows]
    bad_at = rescale_at + 4 * rows,              // [rows] bytes: the sums are no numbers
    half_at = bad_at + rows,                     // [4][32][4]: dots of the upper half of D
    full_at = half_at + (halves == 2 ? 2048 : 0), // [SDPA_BUFFERS_MOST] barriers
    free_at = full_at + 8 * SDPA_BUFFERS_MOST,   // the same
    tile_at = free_at + 8 * SDPA_BUFFERS_MOST,   // [SDPA_BUFFERS_MOST]: which tile it is, or -1 after the last
    end_at = tile_at + 4 * SDPA_BUFFERS_MOST,
    buffers_at = SDPA_TILE_FIXED(dim, rows),
    buffer = SDPA_TILE_BUFFER(dim),
    sums_pitch = SDPA_TILE_SUMS_PITCH(dim)       // of rows of sums, where the buffers were
  };
  static_assert(end_at <= buffers_at && full_at % 8 == 0, "sdpa_args.h counts less than is used");
};

// Which buffer of the ring comes next, and the parity of its barriers' phase.
struct ring {
  uint32_t at, parity;
  DEVICE_MEMBER void advance(uint32_t buffers) {
    if (++at == buffers) {
      at = 0;
      parity ^= 1;
    }
  }
};

// ---- Copying ------------------------------------------------------------------

template <int dim, int rows16>
DEVICE void copy_tiles(const sdpa_kernel_args &a, const row_tile &rows, const split_slots &split, uint8_t *shared, uint32_t warp,
                       uint32_t lane) {
  typedef tile_memory<dim, rows16> memory;
  enum { slots = memory::slots };
  uint64_t *full = (uint64_t *)(shared + memory::full_at), *free_ = (uint64_t *)(shared + memory::free_at);
  int *tile_of = (int *)(shared + memory::tile_at);
  const uint16_t *k = (const uint16_t *)a.k + offset_of(a.k_stride, rows.batch, rows.kv_head, 0);
  const uint16_t *v = (const uint16_t *)a.v + offset_of(a.v_stride, rows.batch, rows.kv_head, 0);
  bool by_16 = a.flags & SDPA_KV_BY_16, is_first = warp == 0 && lane == 0;
  ring next = {0, 1}; // waiting for a phase before the first is no wait
  for (int tile = 0;; tile++) {
    int slot0 = split.begin + tile * split.step, count = min_int(slots, split.end - slot0);
    if (a.mask_type != MASK_NONE && count > 0 && !any_attended(a, rows, slot0, slot0 + count, lane)) continue;
    bool in_a_box = COPIES_BOXES && a.flags & SDPA_KV_MAPS && count == slots;
    NO_UNROLL for (int is_v = 0; is_v < 2; is_v++) {
      uint8_t *to = shared + memory::buffers_at + next.at * memory::buffer;
      barrier_sleep(&free_[next.at], next.parity);
      if (is_first) tile_of[next.at] = count > 0 ? tile : -1;
      if (in_a_box && is_first) {
        barrier_expect(&full[next.at], a.head_dim * slots * 2);
        copy_box(to, is_v ? &a.v_map : &a.k_map, 0, (uint32_t)slot0, 0, rows.kv_head, rows.batch, &full[next.at]);
      } else if (is_first) {
        barrier_arrive(&full[next.at]); // an arrival with copies does not show other writes
      }
      if (count > 0 && !in_a_box) {
        const int64_t stride = is_v ? a.v_stride[2] : a.k_stride[2];
        // Weights of slots past the last are 0, so V must not be anything there.
        copy_rows<dim, slots>(to, (is_v ? v : k) + slot0 * stride, stride, count, is_v ? (count + 31) / 32 * 32 : count,
                              a.head_dim, by_16, warp, SDPA_COPIERS, lane);
      }
      if (by_16 && !in_a_box)
        copy_async_arrive(&full[next.at]);
      else
        barrier_arrive(&full[next.at]);
      if (count <= 0) return;
      next.advance(a.buffers);
    }
  }
}

// The first K and V of a split, while an earlier kernel is still running (on an H100 0.3 to 0.8 us
// of each call of 32:16 heads; a second tile wins nothing more). Where kv_len is on the device, that
// kernel may be about to change it, so here it is a guess.
template <int dim>
DEVICE void prefetch_tile(const sdpa_kernel_args &a, row_tile rows, uint32_t split, uint32_t warp, uint32_t lane) {
  enum { slots = SDPA_TILE_SLOTS(dim) };
  cut_slots(a, rows, true);
  if (a.mask_type != MASK_NONE || split >= rows.splits) return;
  const split_slots its = slots_of(rows, split, slots);
  const uint16_t *k = (const uint16_t *)a.k + offset_of(a.k_stride, rows.batch, rows.kv_head, 0);
  const uint16_t *v = (const uint16_t *)a.v + offset_of(a.v_stride, rows.batch, rows.kv_head, 0);
  uint32_t lines = (a.head_dim + 63) / 64, count = (uint32_t)min_int(slots, its.end - its.begin) * lines;
  NO_UNROLL for (uint32_t i = 32 * warp + lane; i < count; i += 32 * SDPA_COPIERS) {
    uint32_t slot = (uint32_t)its.begin + i / lines, d = i % lines * 64;
    prefetch(k + slot * a.k_stride[2] + d);
    prefetch(v + slot * a.v_stride[2] + d);
  }
}

// ---- Computing ----------------------------------------------------------------

template <bool is_bf16, int dim, int rows16>
DEVICE void attend_tile(const sdpa_kernel_args &a) {
  typedef tile_memory<dim, rows16> memory;
  enum {
    slots = memory::slots,
    pitch = memory::pitch,
    panel = memory::panel,
    weights_pitch = memory::weights_pitch,
    halves = memory::halves,
    shares = memory::shares,
    groups = slots / 8 / shares,          // of 8 slots, of a warp
    chains = rows16 == 1 && groups <= 2 ? 2 : 1, // sums that do not wait for each other
    steps32 = dim / 32 / halves,          // of D, in q k
    q_stays = rows16 == 1 && dim < 512,   // in registers
    steps_at_once = q_stays ? steps32 : 1,
    columns = dim / 64,                   // groups of 8 of D, of a warp, in w v
    columns_at_once = columns < 8 ? columns : COLUMNS_OF_512
  };
  allow_next_kernel();
  uint8_t *shared = dynamic_panels();
  float *most_of = (float *)(shared + memory::most_at), *total_of = (float *)(shared + memory::total_at);
  float *rescale_of = (float *)(shared + memory::rescale_at), *half_dots = (float *)(shared + memory::half_at);
  uint64_t *full = (uint64_t *)(shared + memory::full_at), *free_ = (uint64_t *)(shared + memory::free_at);
  int *tile_of = (int *)(shared + memory::tile_at);
  uint32_t warp = thread_x() / 32, lane = thread_x() % 32;
  if (thread_x() < a.buffers) {
    barrier_init(&full[thread_x()], 32 * SDPA_COPIERS + 1);
    barrier_init(&free_[thread_x()], COMPUTING);
    show_to_hardware();
  }
  if (COPIES_BOXES && a.flags & SDPA_KV_MAPS && warp == SDPA_WARPS && lane < 2) prefetch_map(lane ? &a.v_map : &a.k_map);
  // Columns past head_dim are multiplied with zeros, so they must be numbers.
  if (a.head_dim < dim)
    NO_UNROLL for (uint32_t row = warp; row < a.buffers * slots; row += SDPA_TILE_THREADS / 32)
      NO_UNROLL for (uint32_t d = a.head_dim + 8 * lane; d < dim; d += 256)
        *(word4 *)(shared + memory::buffers_at + row / slots * memory::buffer + panel_place(slots, row % slots, d)) = {0, 0, 0, 0};
  block_barrier();
  // What needs no result of an earlier kernel comes before waiting for it.
  uint32_t index = divide(block_x(), a.splits), split = block_x() - index * a.splits.value;
  row_tile rows = rows_of_tile(a, block_z(), block_y(), a.row_tiles - 1 - index);
  if (STARTS_EARLY && warp >= SDPA_WARPS) prefetch_tile<dim>(a, rows, split, warp - SDPA_WARPS, lane);
  if (a.kv_len_device) wait_for_previous_kernel();
  cut_slots(a, rows);
  if (split >= rows.splits && split > 0) {
    wait_for_previous_kernel();
    return;
  }
  const split_slots its = slots_of(rows, split, slots);
  bool is_partial = a.partial && rows.splits > 1;
  if (warp >= SDPA_WARPS) {
    wait_for_previous_kernel();
    copy_tiles<dim, rows16>(a, rows, its, shared, warp - SDPA_WARPS, lane);
    return;
  }
  // Rows r and r + 8 of this warp's 16 are this lane's.
  uint32_t m = warp % rows16, half = warp / rows16 % halves, share = warp / rows16 / halves;
  uint32_t r = 16 * m + lane / 4;
  slot_range range[2];
  UNROLL for (int i = 0; i < 2; i++) {
    bool is_there = r + 8 * i < rows.count;
    row_place place = place_of(a, rows, r + 8 * i);
    range[i] = is_there ? range_of(a, rows.kv_len, place.position) : slot_range{0, its.end};
    range[i].hi = min_int(range[i].hi, its.end);
  }
  wait_for_previous_kernel();
  copy_q<dim>(a, rows, shared + memory::q_at, memory::rows, warp, SDPA_WARPS, lane);
  float most[2] = {MINUS_INFINITY, MINUS_INFINITY}, total[2] = {0.0f, 0.0f};
  float sums[rows16][columns][4];
  UNROLL for (int i = 0; i < rows16; i++)
    UNROLL for (int j = 0; j < columns; j++)
      UNROLL for (int e = 0; e < 4; e++) sums[i][j][e] = 0.0f;

  copy_async_wait<0>();
  threads_barrier(1, COMPUTING);
  const uint8_t *q_at = shared + memory::q_at + (16 * m + lane % 16) * pitch + lane / 16 * 16 + half * (dim / halves * 2);
  uint32_t q[q_stays ? steps32 : 1][2][4];
  if (q_stays)
    UNROLL for (int step = 0; step < steps32; step++) {
      load_matrix4(q[step][0], q_at + 64 * step);
      load_matrix4(q[step][1], q_at + 64 * step + 32);
    }

  ring next = {0, 0};
  for (;;) {
    barrier_wait(&full[next.at], next.parity);
    int tile = tile_of[next.at];
    if (tile < 0) break;
    int slot0 = its.begin + tile * its.step;

    float dot[groups][chains][4];
    UNROLL for (int i = 0; i < groups; i++)
      UNROLL for (int c = 0; c < chains; c++)
        UNROLL for (int e = 0; e < 4; e++) dot[i][c][e] = 0.0f;
    const uint8_t *k_at = shared + memory::buffers_at + next.at * memory::buffer + (8 * share + lane % 8) * PANEL_ROW +
                          half * (dim / halves / PANEL_COLUMNS * panel);
    uint32_t piece = (lane / 8 ^ lane % 8) * 16; // of the first half of a panel; of the second it is ^ 64
    NO_UNROLL for (int step0 = 0; step0 < steps32; step0 += steps_at_once) {
      UNROLL for (int i = 0; i < steps_at_once; i++) {
        int step = step0 + i;
        uint32_t(*now)[4] = q[q_stays ? i : 0];
        if (!q_stays) {
          load_matrix4(now[0], q_at + 64 * step);
          load_matrix4(now[1], q_at + 64 * step + 32);
        }
        UNROLL for (int g = 0; g < groups; g++) {
          uint32_t b[4];
          load_matrix4(b, k_at + g * shares * 8 * PANEL_ROW + step / 2 * panel + (piece ^ step % 2 * 64));
          multiply<is_bf16>(dot[g][0], now[0], b[0], b[1]);
          multiply<is_bf16>(dot[g][chains - 1], now[1], b[2], b[3]);
        }
      }
    }
    if (chains == 2)
      UNROLL for (int i = 0; i < groups; i++)
        UNROLL for (int e = 0; e < 4; e++) dot[i][0][e] = add_rn(dot[i][0][e], dot[i][1][e]);
    barrier_arrive(&free_[next.at]);
    next.advance(a.buffers);
    if (halves == 2) {
      word4 *place = (word4 *)half_dots + share * 32 + lane;
      if (half)
        *place = {float_to_bits(dot[0][0][0]), float_to_bits(dot[0][0][1]), float_to_bits(dot[0][0][2]), float_to_bits(dot[0][0][3])};
      threads_barrier(1, COMPUTING);
      if (!half) {
        word4 other = *place;
        dot[0][0][0] = add_rn(dot[0][0][0], bits_to_float(other.x));
        dot[0][0][1] = add_rn(dot[0][0][1], bits_to_float(other.y));
        dot[0][0][2] = add_rn(dot[0][0][2], bits_to_float(other.z));
        dot[0][0][3] = add_rn(dot[0][0][3], bits_to_float(other.w));
      }
    }

    float largest[2] = {most[0], most[1]};
    if (half == 0) {
      UNROLL for (int h = 0; h < 2; h++) {
        int64_t mask = 0;
        if (a.mask_type != MASK_NONE && r + 8 * h < rows.count) mask = mask_row(a, rows, place_of(a, rows, r + 8 * h));
        UNROLL for (int i = 0; i < groups; i++)
          UNROLL for (int e = 2 * h; e < 2 * h + 2; e++) {
            int slot = slot0 + 8 * (int)(share + shares * i) + 2 * (int)(lane % 4) + e % 2;
            float x = score_of(a, dot[i][0][e]);
            bool is_attended = slot >= range[h].lo && slot < range[h].hi;
            if (a.mask_type != MASK_NONE && is_attended) {
              float added = mask_at(a, mask + slot);
              is_attended = added != MINUS_INFINITY;
              x = add_rn(x, added);
            }
            x = is_attended ? x : MINUS_INFINITY;
            dot[i][0][e] = x;
            largest[h] = max_f32(largest[h], x);
          }
      }
      UNROLL for (int i = 0; i < 2; i++) {
        largest[i] = max_f32(largest[i], shuffle_xor(largest[i], 1));
        largest[i] = max_f32(largest[i], shuffle_xor(largest[i], 2));
        if (lane % 4 == 0) most_of[share * memory::rows + r + 8 * i] = largest[i];
      }
    }
    threads_barrier(1, COMPUTING);
    if (half == 0) {
      UNROLL for (int i = 0; i < 2; i++) {
        UNROLL for (int s = 0; s < shares; s++) largest[i] = max_f32(largest[i], most_of[s * memory::rows + r + 8 * i]);
        float rescale = exp2_fast(add_rn(most[i], -base_of(largest[i])));
        total[i] = mul_rn(total[i], rescale);
        if (share == 0 && lane % 4 == 0) rescale_of[r + 8 * i] = rescale;
        most[i] = largest[i];
      }
      UNROLL for (int i = 0; i < groups; i++) {
        UNROLL for (int h = 0; h < 2; h++) {
          float base = base_of(most[h]) - lift_of<is_bf16>(0.0f);
          float first = exp2_fast(add_rn(dot[i][0][2 * h], -base));
          float second = exp2_fast(add_rn(dot[i][0][2 * h + 1], -base));
          total[h] = add_rn(total[h], add_rn(first, second));
          uint8_t *to = shared + memory::weights_at + (r + 8 * h) * weights_pitch + 16 * (share + shares * i) + 4 * (lane % 4);
          *(uint32_t *)to = is_bf16 ? pack_bf16(first, second) : pack_f16(first, second);
        }
      }
    }
    threads_barrier(1, COMPUTING);

    UNROLL for (int i = 0; i < rows16; i++) {
      float upper = rescale_of[16 * i + lane / 4], lower = rescale_of[16 * i + lane / 4 + 8];
      UNROLL for (int j = 0; j < columns; j++)
        UNROLL for (int e = 0; e < 4; e++) sums[i][j][e] = mul_rn(sums[i][j][e], e < 2 ? upper : lower);
    }
    barrier_wait(&full[next.at], next.parity);
    const uint8_t *v_at = shared + memory::buffers_at + next.at * memory::buffer + panel_place(slots, lane, 8 * warp);
    const uint8_t *weights_at = shared + memory::weights_at + lane % 16 * weights_pitch + lane / 16 * 16;
    int steps = (min_int(slots, its.end - slot0) + 31) / 32;
    for (int step = 0; step < steps; step++) {
      UNROLL for (int c = 0; c < columns; c += columns_at_once) {
        uint32_t b[columns_at_once][4];
        UNROLL for (int j = 0; j < columns_at_once; j++)
          load_matrix4_transposed(b[j], v_at + 32 * step * PANEL_ROW + (c + j) * panel);
        UNROLL for (int i = 0; i < rows16; i++) {
          uint32_t w0[4], w1[4];
          load_matrix4(w0, weights_at + i * 16 * weights_pitch + 64 * step);
          load_matrix4(w1, weights_at + i * 16 * weights_pitch + 64 * step + 32);
          UNROLL for (int j = 0; j < columns_at_once; j++) {
            multiply<is_bf16>(sums[i][c + j], w0, b[j][0], b[j][1]);
            multiply<is_bf16>(sums[i][c + j], w1, b[j][2], b[j][3]);
          }
        }
      }
    }
    barrier_arrive(&free_[next.at]);
    next.advance(a.buffers);
  }

  // Totals of the rows, and their sums, through shared memory: a warp then stores whole rows.
  threads_barrier(1, COMPUTING);
  UNROLL for (int i = 0; i < 2; i++) {
    total[i] = add_rn(total[i], shuffle_xor(total[i], 1));
    total[i] = add_rn(total[i], shuffle_xor(total[i], 2));
    if (half == 0 && lane % 4 == 0) {
      total_of[share * memory::rows + r + 8 * i] = total[i];
      if (share == 0) most_of[r + 8 * i] = most[i] - lift_of<is_bf16>(0.0f);
    }
  }
  partial_place place = {0, 0};
  if (is_partial) place = partial_of(a, rows, split);
  UNROLL for (int i = 0; i < rows16; i++)
    UNROLL for (int j = 0; j < columns; j++)
      UNROLL for (int h = 0; h < 2; h++) {
        uint32_t row = 16 * i + lane / 4 + 8 * h, d = 8 * (warp + SDPA_WARPS * j) + 2 * (lane % 4);
        *(word2 *)(shared + memory::buffers_at + row * memory::sums_pitch + 4 * d) = {float_to_bits(sums[i][j][2 * h]),
                                                                                       float_to_bits(sums[i][j][2 * h + 1])};
      }
  threads_barrier(1, COMPUTING);
  uint8_t *bad = shared + memory::bad_at;
  NO_UNROLL for (uint32_t row = warp; row < rows.count; row += SDPA_WARPS) {
    float whole = 0.0f;
    UNROLL for (int i = 0; i < shares; i++) whole = add_rn(whole, total_of[i * memory::rows + row]);
    const uint8_t *sums_of = shared + memory::buffers_at + row * memory::sums_pitch;
    bool is_bad = store_row(a, rows, row, sums_of, most_of[row], whole, is_partial, place, lane);
    if (lane == 0) bad[row] = is_bad;
  }
  warp_barrier();
  // Rows whose sums are no numbers, once more and exactly; see sdpa_exact.cuh.
  NO_UNROLL for (uint32_t row = warp; row < rows.count; row += SDPA_WARPS)
    if (bad[row]) redo_exactly<is_bf16>(a, rows, row, its, slots, is_partial, place, lane);
}

#define SDPA_TILE_KERNEL(type, is_bf16, dim, rows16, rows)                                              \
  KERNEL_RESIDENT(SDPA_TILE_THREADS, 1, sdpa_##type##_d##dim##_r##rows, const GRID_CONSTANT sdpa_kernel_args a) { \
    attend_tile<is_bf16, dim, rows16>(a);                                                                \
  }
#define SDPA_TILE_KERNELS(type, is_bf16, dim, rows16, rows) \
  SDPA_TILE_KERNEL(type, is_bf16, dim, 1, 16)               \
  SDPA_TILE_KERNEL(type, is_bf16, dim, rows16, rows)

// SPDX-License-Identifier: MIT
//
// Attention of a tile of many query rows by one block, for prefill: up to 256 dimensions,
// without a mask or a softcap, with a positive scale. sdpa_tile.cuh does the rest.
//
// A warp has 16 or 32 rows for itself: scores, weights and sums of them stay in its
// registers, from one product to the other (the layout of a result of the tensor cores
// is that of their left operand). Of each K and V there is one buffer: V of a tile is
// copied while its scores are formed, K of the next while its weights are used. Two
// blocks on a multiprocessor fill each other's pauses.
//
// Products are what this is bound by. Tiles that every row of a warp attends in full need
// no comparisons, and a warp passes over tiles that none of its rows attends, as causal
// leaves them at the diagonal.
#pragma once

#include "sdpa_block.cuh"

// Of 128 dimensions, steps of q k that are unrolled: what leaves registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
enum { STEPS_OF_128 = 4 };
#else
enum { STEPS_OF_128 = 1 };
#endif

template <int dim>
struct prefill_memory {
  enum {
    rows = SDPA_PREFILL_ROWS(dim),
    slots = SDPA_PREFILL_SLOTS,
    pitch = SDPA_TILE_PITCH(dim),
    q_at = 0,
    k_at = q_at + rows * pitch,
    v_at = k_at + slots * pitch,
    rows_end = v_at + slots * pitch,
    sums_pitch = 4 * dim + 16,       // of rows of sums, where the others were
    sums_end = rows * sums_pitch,
    total_at = rows_end > sums_end ? rows_end : sums_end, // [rows]
    most_at = total_at + 4 * rows,   // [rows]
    range_at = most_at + 4 * rows,   // [rows] slot_range
    bounds_at = range_at + 8 * rows, // [SDPA_PREFILL_WARPS][4]
    bad_at = bounds_at + 16 * SDPA_PREFILL_WARPS, // [rows] bytes
    end_at = bad_at + rows
  };
  static_assert(end_at <= SDPA_PREFILL_SHARED(dim), "sdpa_args.h counts less than is used");
};

template <bool is_bf16, int dim>
DEVICE void attend_many(const sdpa_kernel_args &a) {
  typedef prefill_memory<dim> memory;
  enum {
    slots = memory::slots,
    pitch = memory::pitch,
    own16 = memory::rows / 16 / SDPA_PREFILL_WARPS, // 16s of rows of a warp
    groups = slots / 8,
    steps_at_once = dim == 128 ? STEPS_OF_128 : 4, // of D, in q k
    is_lazy = own16 == 2,
    columns = dim / 8
  };
  allow_next_kernel();
  uint8_t *shared = (uint8_t *)dynamic_block_memory();
  uint32_t warp = thread_x() / 32, lane = thread_x() % 32;
  if (a.head_dim < dim) // columns past head_dim are multiplied with zeros, so they must be numbers
    NO_UNROLL for (uint32_t row = warp; row < 2 * slots; row += SDPA_PREFILL_WARPS)
      NO_UNROLL for (uint32_t d = a.head_dim + 2 * lane; d < dim; d += 64)
        *(uint32_t *)(shared + memory::k_at + row * pitch + 2 * d) = 0;
  // The longest first, of all KV heads, so that the last to start are short.
  uint32_t index = block_x() / a.kv_heads, kv_head = block_x() - index * a.kv_heads;
  row_tile rows = rows_of_tile(a, block_z(), kv_head, a.row_tiles - 1 - index);
  if (a.kv_len_device) wait_for_previous_kernel();
  cut_slots(a, rows);
  // Rows r and r + 8 of each 16 of this warp are this lane's.
  uint32_t first = 16 * own16 * warp, r = first + lane / 4;
  slot_range *range_of_row = (slot_range *)(shared + memory::range_at);
  NO_UNROLL for (uint32_t row = first + lane; row < first + 16 * own16; row += 32) {
    bool is_there = row < rows.count;
    range_of_row[row] = is_there ? range_of(a, rows.kv_len, place_of(a, rows, row).position) : slot_range{0, rows.end};
  }
  // Of the warp's rows: slots that all attend, and slots that any attends.
  uint32_t last = min_int((int)rows.count, (int)first + 16 * own16) - 1;
  bool has_rows = first < rows.count;
  slot_range of_first = range_of(a, rows.kv_len, place_of(a, rows, has_rows ? first : 0).position);
  slot_range of_last = range_of(a, rows.kv_len, place_of(a, rows, has_rows ? last : 0).position);
  int *bounds = (int *)(shared + memory::bounds_at) + 4 * warp; // all attend [0], [1]; any attends [2], [3]
  if (lane == 0) {
    bounds[0] = of_last.lo;
    bounds[1] = of_first.hi;
    bounds[2] = of_first.lo;
    bounds[3] = has_rows ? of_last.hi : 0;
  }
  warp_barrier();
  wait_for_previous_kernel();

  const uint16_t *k = (const uint16_t *)a.k + offset_of(a.k_stride, rows.batch, rows.kv_head, 0);
  const uint16_t *v = (const uint16_t *)a.v + offset_of(a.v_stride, rows.batch, rows.kv_head, 0);
  bool by_16 = a.flags & SDPA_KV_BY_16;
  copy_q<dim>(a, rows, shared + memory::q_at, memory::rows, warp, SDPA_PREFILL_WARPS, lane);
  if (rows.begin < rows.end) {
    int slot0 = rows.begin, count = min_int(slots, rows.end - slot0);
    copy_rows<dim, 0>(shared + memory::k_at, k + slot0 * a.k_stride[2], a.k_stride[2], count, count, a.head_dim, by_16, warp,
                   SDPA_PREFILL_WARPS, lane);
  }
  copy_async_commit();

  float most[2 * own16], total[2 * own16], sums[own16][columns][4];
  UNROLL for (int i = 0; i < 2 * own16; i++) most[i] = MINUS_INFINITY, total[i] = 0.0f;
  UNROLL for (int i = 0; i < own16; i++)
    UNROLL for (int j = 0; j < columns; j++)
      UNROLL for (int e = 0; e < 4; e++) sums[i][j][e] = 0.0f;
  const uint8_t *q_at = shared + memory::q_at + (first + lane % 16) * pitch + lane / 16 * 16;
  const uint8_t *k_at = shared + memory::k_at + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16;
  const uint8_t *v_at = shared + memory::v_at + lane % 16 * pitch + lane / 16 * 16;

  NO_UNROLL for (int slot0 = rows.begin; slot0 < rows.end; slot0 += slots) {
    int count = min_int(slots, rows.end - slot0);
    copy_async_wait<0>();
    block_barrier(); // K is there, and V of the tile before has been used
    copy_rows<dim, 0>(shared + memory::v_at, v + slot0 * a.v_stride[2], a.v_stride[2], count, slots, a.head_dim, by_16, warp,
                   SDPA_PREFILL_WARPS, lane);
    copy_async_commit();
    bool is_attended = slot0 < bounds[3] && slot0 + slots > bounds[2];

    float dot[own16][groups][4];
    if (is_attended) {
      UNROLL for (int i = 0; i < own16; i++)
        UNROLL for (int g = 0; g < groups; g++)
          UNROLL for (int e = 0; e < 4; e++) dot[i][g][e] = 0.0f;
      NO_UNROLL for (int step0 = 0; step0 < dim / 16; step0 += steps_at_once)
        UNROLL for (int step = step0; step < step0 + steps_at_once; step++) {
          uint32_t q[own16][4];
          UNROLL for (int i = 0; i < own16; i++) load_matrix4(q[i], q_at + 16 * i * pitch + 32 * step);
          UNROLL for (int g = 0; g < groups; g += 2) {
            uint32_t b[4];
            load_matrix4(b, k_at + 8 * g * pitch + 32 * step);
            UNROLL for (int i = 0; i < own16; i++) {
              multiply<is_bf16>(dot[i][g], q[i], b[0], b[1]);
              multiply<is_bf16>(dot[i][g + 1], q[i], b[2], b[3]);
            }
          }
        }
    }
    copy_async_wait<0>();
    block_barrier(); // V is there, and K has been used
    int next = slot0 + slots, left = min_int(slots, rows.end - next);
    if (left > 0)
      copy_rows<dim, 0>(shared + memory::k_at, k + next * a.k_stride[2], a.k_stride[2], left, left, a.head_dim, by_16, warp,
                     SDPA_PREFILL_WARPS, lane);
    copy_async_commit();
    if (!is_attended) continue;

    if (slot0 < bounds[0] || slot0 + slots > bounds[1])
      UNROLL for (int i = 0; i < own16; i++)
        UNROLL for (int h = 0; h < 2; h++) {
          slot_range its = range_of_row[r + 16 * i + 8 * h];
          UNROLL for (int g = 0; g < groups; g++)
            UNROLL for (int e = 2 * h; e < 2 * h + 2; e++) {
              int slot = slot0 + 8 * g + 2 * (int)(lane % 4) + e % 2;
              if (slot < its.lo || slot >= its.hi) dot[i][g][e] = MINUS_INFINITY;
            }
        }
    // A score is scale * dot, and scale is positive. What is subtracted from it follows the
    // maximum only when that has grown by more than 8 (in units of log2): until then weights
    // are at most 256, and the sums, the most of the registers, need no rescaling.
    UNROLL for (int i = 0; i < own16; i++) {
      float rescale[2];
      bool is_rescaled = false;
      UNROLL for (int h = 0; h < 2; h++) {
        float largest = dot[i][0][2 * h];
        UNROLL for (int g = 0; g < groups; g++)
          largest = max_f32(largest, max_f32(dot[i][g][2 * h], dot[i][g][2 * h + 1]));
        largest = max_f32(largest, shuffle_xor(largest, 1));
        largest = mul_rn(max_f32(largest, shuffle_xor(largest, 2)), a.scale);
        float before = most[2 * i + h];
        bool is_its = largest > add_rn(before, is_lazy ? 8.0f : 0.0f);
        if (is_its) most[2 * i + h] = largest;
        rescale[h] = is_its ? exp2_fast(add_rn(before, -largest)) : 1.0f;
        is_rescaled = is_rescaled || is_its;
      }
      if (!is_lazy || warp_any(is_rescaled))
        UNROLL for (int h = 0; h < 2; h++) {
          total[2 * i + h] = mul_rn(total[2 * i + h], rescale[h]);
          UNROLL for (int j = 0; j < columns; j++)
            UNROLL for (int e = 2 * h; e < 2 * h + 2; e++) sums[i][j][e] = mul_rn(sums[i][j][e], rescale[h]);
        }
      UNROLL for (int h = 0; h < 2; h++) {
        float base = base_of(most[2 * i + h]) - lift_of<is_bf16>(is_lazy ? 8.0f : 0.0f), sum = 0.0f;
        UNROLL for (int g = 0; g < groups; g++)
          UNROLL for (int e = 2 * h; e < 2 * h + 2; e++) {
            dot[i][g][e] = exp2_fast(fma_rn(dot[i][g][e], a.scale, -base));
            sum = add_rn(sum, dot[i][g][e]);
          }
        total[2 * i + h] = add_rn(total[2 * i + h], sum);
      }
    }
    UNROLL for (int step = 0; step < slots / 16; step++) {
      uint32_t w[own16][4];
      UNROLL for (int i = 0; i < own16; i++)
        UNROLL for (int e = 0; e < 4; e++) {
          const float *pair = &dot[i][2 * step + e / 2][e % 2 * 2];
          w[i][e] = is_bf16 ? pack_bf16(pair[0], pair[1]) : pack_f16(pair[0], pair[1]);
        }
      UNROLL for (int j = 0; j < columns; j += 2) {
        uint32_t b[4];
        load_matrix4_transposed(b, v_at + 16 * step * pitch + 16 * j);
        UNROLL for (int i = 0; i < own16; i++) {
          multiply<is_bf16>(sums[i][j], w[i], b[0], b[1]);
          multiply<is_bf16>(sums[i][j + 1], w[i], b[2], b[3]);
        }
      }
    }
  }
  copy_async_wait<0>();

  // Sums and totals of the rows through shared memory: a warp then stores whole rows.
  block_barrier();
  float *total_of = (float *)(shared + memory::total_at), *most_of = (float *)(shared + memory::most_at);
  UNROLL for (int i = 0; i < 2 * own16; i++) {
    total[i] = add_rn(total[i], shuffle_xor(total[i], 1));
    total[i] = add_rn(total[i], shuffle_xor(total[i], 2));
    uint32_t row = r + 8 * i;
    if (lane % 4 == 0) total_of[row] = total[i], most_of[row] = most[i];
    UNROLL for (int j = 0; j < columns; j++)
      *(word2 *)(shared + row * memory::sums_pitch + 4 * (8 * j + 2 * (lane % 4))) = {
        float_to_bits(sums[i / 2][j][i % 2 * 2]), float_to_bits(sums[i / 2][j][i % 2 * 2 + 1])};
  }
  warp_barrier(); // its rows are the warp's own
  uint8_t *bad = shared + memory::bad_at;
  const partial_place nowhere = {0, 0};
  NO_UNROLL for (uint32_t row = first; row < first + 16 * own16 && row < rows.count; row++) {
    bool is_bad = store_row(a, rows, row, shared + row * memory::sums_pitch, most_of[row], total_of[row], false, nowhere, lane);
    // What rounds off such a maximum is not small against 1; weights may have vanished.
    is_bad = is_bad || (is_finite(most_of[row]) && !(most_of[row] < 1048576.0f && most_of[row] > -1048576.0f));
    if (lane == 0) bad[row] = is_bad;
  }
  warp_barrier();
  // Rows whose sums are no numbers, once more and exactly; see sdpa_exact.cuh.
  const split_slots all = {rows.begin, rows.end, slots};
  NO_UNROLL for (uint32_t row = first; row < first + 16 * own16 && row < rows.count; row++)
    if (bad[row]) redo_exactly<is_bf16>(a, rows, row, all, slots, false, nowhere, lane);
}

#define SDPA_PREFILL_KERNEL(type, is_bf16, dim)                                                        \
  KERNEL_RESIDENT(SDPA_PREFILL_THREADS, 2, sdpa_##type##_d##dim##_prefill, const GRID_CONSTANT sdpa_kernel_args a) { \
    attend_many<is_bf16, dim>(a);                                                                      \
  }

// SPDX-License-Identifier: MIT
//
// Puts the splits of a row together: with m the largest of their maxima,
//   o = sum of 2^(m_s - m) sums_s / sum of 2^(m_s - m) total_s.
// A block has 128 elements of one row. Its warps take the splits in turn, and their sums
// are added in the order of the warps, so that equal inputs give equal bits.
#include "sdpa_rows.cuh"

enum { MERGE_WARPS = 8, MERGE_THREADS = 32 * MERGE_WARPS, MERGE_AT_ONCE = 4 };

KERNEL(MERGE_THREADS, sdpa_merge, const GRID_CONSTANT sdpa_kernel_args a) {
  allow_next_kernel();
  uint32_t warp = thread_x() / 32, lane = thread_x() % 32;
  uint32_t slices = (a.head_dim + 127) / 128, row = block_x() / slices, d = block_x() % slices * 128 + 4 * lane;
  row_tile rows = rows_of_tile(a, block_z(), block_y(), row >> a.tile_shift);
  if (a.kv_len_device) wait_for_previous_kernel();
  cut_slots(a, rows);
  wait_for_previous_kernel();
  if (rows.splits <= 1) return; // there is nothing to merge
  uint32_t in_tile = row - rows.first;
  const partial_place first = partial_of(a, rows, 0);
  const float *stats = first.stats + 2 * in_tile;
  const float *sums = first.sums + (uint64_t)in_tile * a.head_dim + d;
  uint64_t next_stats = 2 * (uint64_t)a.tile_rows, next_sums = (uint64_t)a.tile_rows * a.head_dim;

  // The first sums are asked for before their weights are known.
  word4 part[MERGE_AT_ONCE];
  word2 stat[MERGE_AT_ONCE];
  auto load = [&](uint32_t s0) {
    UNROLL for (int i = 0; i < MERGE_AT_ONCE; i++) {
      uint32_t s = s0 + i * MERGE_WARPS;
      part[i] = {0, 0, 0, 0};
      stat[i] = {0xff800000u, 0};
      if (s >= rows.splits) continue;
      stat[i] = load_shared_by_all((const word2 *)(stats + s * next_stats));
      if (d < a.head_dim) part[i] = load_shared_by_all((const word4 *)(sums + s * next_sums));
    }
  };
  load(warp);
  float most = MINUS_INFINITY;
  for (uint32_t s = lane; s < rows.splits; s += 32)
    most = max_f32(most, bits_to_float(load_shared_by_all((const uint32_t *)(stats + s * next_stats))));
  UNROLL for (int mask = 1; mask < 32; mask *= 2) most = max_f32(most, shuffle_xor(most, mask));

  float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f}, total = 0.0f;
  NO_UNROLL for (uint32_t s0 = warp; s0 < rows.splits; s0 += MERGE_AT_ONCE * MERGE_WARPS) {
    if (s0 != warp) load(s0);
    UNROLL for (int i = 0; i < MERGE_AT_ONCE; i++) {
      float weight = exp2_fast(add_rn(bits_to_float(stat[i].x), -base_of(most)));
      total = fma_rn(weight, bits_to_float(stat[i].y), total);
      sum[0] = fma_rn(weight, bits_to_float(part[i].x), sum[0]);
      sum[1] = fma_rn(weight, bits_to_float(part[i].y), sum[1]);
      sum[2] = fma_rn(weight, bits_to_float(part[i].z), sum[2]);
      sum[3] = fma_rn(weight, bits_to_float(part[i].w), sum[3]);
    }
  }
  float *of_warps = (float *)block_memory<MERGE_WARPS * 33 * 4 * 4>(); // [MERGE_WARPS][33][4]: sums, then the total
  float *mine = of_warps + (warp * 33 + lane) * 4;
  UNROLL for (int i = 0; i < 4; i++) mine[i] = sum[i];
  if (lane == 0) of_warps[(warp * 33 + 32) * 4] = total;
  block_barrier();
  if (warp != 0 || d >= a.head_dim) return;
  UNROLL for (int w = 1; w < MERGE_WARPS; w++) {
    UNROLL for (int i = 0; i < 4; i++) sum[i] = add_rn(sum[i], of_warps[(w * 33 + lane) * 4 + i]);
    total = add_rn(total, of_warps[(w * 33 + 32) * 4]);
  }
  // A total of 0: nothing is attended. A NaN stays one.
  float factor = total == 0.0f ? 0.0f : div_rn(1.0f, total);
  row_place place = place_of(a, rows, in_tile);
  int64_t o = offset_of(a.o_stride, rows.batch, place.head, place.position) + d;
  UNROLL for (int i = 0; i < 4; i++) sum[i] = mul_rn(sum[i], factor);
  store_four(a, o, sum);
}

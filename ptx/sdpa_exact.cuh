// SPDX-License-Identifier: MIT
//
// One row, slot by slot, without tensor cores.
//
// The tensor cores multiply V of a slot that a row does not attend with 0, which is not
// harmless when V holds an Inf or a NaN there. That shows: the row's sums are not finite.
// Such a row is computed anew here, and only slots that it attends enter. So what is
// dropped has no influence, whatever K and V hold, and nothing is paid for it as long as
// results are finite. A NaN that is attended stays one.
#pragma once

#include "sdpa_rows.cuh"

struct exact_row {
  const uint16_t *q;  // of this row
  const uint16_t *k, *v; // of slot 0
  int64_t mask;       // of slot 0
  split_slots split;
  int tile_slots, lo, hi; // only slots in [lo, hi)
};

template <bool is_bf16>
DEVICE float half_at(const uint16_t *p) {
  return is_bf16 ? bf16_to_float(*p) : f16_to_float(*p);
}

DEVICE float warp_sum(float v) {
  UNROLL for (int mask = 1; mask < 32; mask *= 2) v = add_rn(v, shuffle_xor(v, mask));
  return v;
}

// The score of a slot for all lanes; false when the row does not attend it.
template <bool is_bf16>
DEVICE bool exact_score(const sdpa_kernel_args &a, const exact_row &row, int slot, uint32_t lane, float *out_score) {
  float added = a.mask_type == MASK_NONE ? 0.0f : mask_at(a, row.mask + slot);
  if (added == MINUS_INFINITY) return false;
  const uint16_t *k = row.k + slot * a.k_stride[2];
  float dot = 0.0f;
  NO_UNROLL for (uint32_t d = lane; d < a.head_dim; d += 32) dot = fma_rn(half_at<is_bf16>(row.q + d), half_at<is_bf16>(k + d), dot);
  *out_score = add_rn(score_of(a, warp_sum(dot)), added);
  return true;
}

// A warp's work: lane l gets sums of elements d0 + l, d0 + 32 + l, ...; most is what was
// subtracted from scores. Only some elements at a time, so that this seldom used code asks for few registers.
enum { EXACT_AT_ONCE = 4, EXACT_SLICE = 32 * EXACT_AT_ONCE };

template <bool is_bf16>
DEVICE void attend_exactly(const sdpa_kernel_args &a, const exact_row &row, uint32_t d0, uint32_t lane, float *sums,
                           float *out_most, float *out_total) {
  float most = MINUS_INFINITY, total = 0.0f;
  UNROLL for (int i = 0; i < EXACT_AT_ONCE; i++) sums[i] = 0.0f;
  NO_UNROLL for (int pass = 0; pass < 2; pass++) { // first for the maximum
    NO_UNROLL for (int slot0 = row.split.begin; slot0 < row.split.end; slot0 += row.split.step) {
      int end = min_int(min_int(slot0 + row.tile_slots, row.split.end), row.hi);
      NO_UNROLL for (int slot = max_int(slot0, row.lo); slot < end; slot++) {
        float score;
        if (!exact_score<is_bf16>(a, row, slot, lane, &score)) continue;
        if (pass == 0) {
          most = max_f32(most, score);
          continue;
        }
        float weight = exp2_fast(add_rn(add_rn(score, -most), -31.0f)); // so that no sum of numbers overflows
        const uint16_t *v = row.v + slot * a.v_stride[2];
        UNROLL for (int i = 0; i < EXACT_AT_ONCE; i++) {
          uint32_t d = d0 + lane + 32 * i;
          if (d < a.head_dim) sums[i] = fma_rn(weight, half_at<is_bf16>(v + d), sums[i]);
        }
        total = add_rn(total, weight);
      }
    }
  }
  *out_most = add_rn(most, 31.0f);
  *out_total = total;
}

// Row `row` of the tile over its slots of the split, to where its results belong.
template <bool is_bf16>
DEVICE void redo_exactly(const sdpa_kernel_args &a, const row_tile &rows, uint32_t row, const split_slots &split,
                         int tile_slots, bool is_partial, const partial_place &place, uint32_t lane) {
  row_place at = place_of(a, rows, row);
  slot_range range = range_of(a, rows.kv_len, at.position);
  exact_row exact = {(const uint16_t *)a.q + offset_of(a.q_stride, rows.batch, at.head, at.position),
                     (const uint16_t *)a.k + offset_of(a.k_stride, rows.batch, rows.kv_head, 0),
                     (const uint16_t *)a.v + offset_of(a.v_stride, rows.batch, rows.kv_head, 0),
                     a.mask_type == MASK_NONE ? 0 : mask_row(a, rows, at), split, tile_slots, range.lo, range.hi};
  int64_t o = offset_of(a.o_stride, rows.batch, at.head, at.position);
  NO_UNROLL for (uint32_t d0 = 0; d0 < a.head_dim; d0 += EXACT_SLICE) {
    float sums[EXACT_AT_ONCE], most, total;
    attend_exactly<is_bf16>(a, exact, d0, lane, sums, &most, &total);
    UNROLL for (int i = 0; i < EXACT_AT_ONCE; i++) {
      uint32_t d = d0 + lane + 32 * i;
      if (d >= a.head_dim) continue;
      if (is_partial)
        place.sums[(uint64_t)row * a.head_dim + d] = sums[i];
      else
        store_element(a.o, (uint64_t)o + d, a.o_type, total == 0.0f ? 0.0f : div_rn(sums[i], total));
    }
    if (is_partial && lane == 0) {
      place.stats[2 * row] = most;
      place.stats[2 * row + 1] = total;
    }
  }
}

// SPDX-License-Identifier: MIT
//
// sample of ops.h by the rule of sampling.h. Each kernel has many blocks, the last of
// which to be done puts together what all have found:
//   gemma_most    softcap, the greatest logit; greedy: the token, and nothing else follows
//   gemma_goal    top_p < 1: weights by the upper bits of their keys; in which the goal is
//   gemma_least   top_p < 1: those of that group by the lower bits; the least key that is kept
//   gemma_choose  kept weights of each block; the block of the token, and the token
#pragma once

#include "gemma_rows.cuh"
#include "sampling.h"

DEVICE uint64_t shuffle_xor(uint64_t v, int mask) {
  return (uint64_t)shuffle_xor((uint32_t)(v >> 32), mask) << 32 | shuffle_xor((uint32_t)v, mask);
}

// Of the threads, by number, the sum before this one; `sums` has a place for each.
DEVICE uint64_t sum_before(uint64_t mine, uint64_t *sums, uint64_t *out_total) {
  uint32_t thread = thread_x(), warp = thread / 32;
  block_barrier();
  sums[thread] = mine;
  block_barrier();
  uint64_t before = 0, total = 0, of_warp = 0;
  UNROLL_BY_4 for (uint32_t t = 32 * warp; t < thread; t++) before += sums[t];
  of_warp = before + mine;
  block_barrier();
  if (thread % 32 == 31) sums[warp] = of_warp;
  block_barrier();
  UNROLL_BY_4 for (uint32_t w = 0; w < threads_x() / 32; w++) {
    if (w < warp) before += sums[w];
    total += sums[w];
  }
  *out_total = total;
  return before;
}

// All that the blocks wrote is seen by the last of them.
DEVICE bool is_last_block(gemma_choice *choice) {
  uint32_t *is_last = block_memory<16>();
  block_barrier();
  if (thread_x() == 0) {
    device_fence();
    *is_last = atomic_inc(&choice->blocks_done, blocks_x() - 1) == blocks_x() - 1;
    device_fence();
  }
  block_barrier();
  return *is_last;
}

// ---- The greatest logit -------------------------------------------------------

// Greater for a greater logit, and of equals for a lower token; 0 for NaN.
DEVICE uint64_t rank_of(float logit, uint32_t token) {
  if (logit != logit) return 0;
  uint32_t bits = float_to_bits(add_rn(logit, 0.0f)); // -0 is 0
  return (uint64_t)(bits >> 31 ? ~bits : bits | 0x80000000u) << 32 | ~token;
}
DEVICE uint32_t token_of(uint64_t rank) { return rank ? ~(uint32_t)rank : 0; }
DEVICE float logit_of(uint64_t rank) {
  uint32_t bits = (uint32_t)(rank >> 32);
  return rank ? bits_to_float(bits >> 31 ? bits & 0x7fffffffu : ~bits) : MINUS_INFINITY;
}

DEVICE uint64_t greatest(uint64_t a, uint64_t b) { return a > b ? a : b; }
DEVICE uint64_t greatest_of_warp(uint64_t v) {
  UNROLL for (int mask = 16; mask > 0; mask /= 2) v = greatest(v, shuffle_xor(v, mask));
  return v;
}
// For each thread of the first warp. `of_warps` [32] is used once.
DEVICE uint64_t greatest_of_block(uint64_t v, uint64_t *of_warps) {
  uint32_t warp = thread_x() / 32, lane = thread_x() % 32;
  v = greatest_of_warp(v);
  if (lane == 0) of_warps[warp] = v;
  block_barrier();
  if (warp) return 0;
  return greatest_of_warp(lane < GEMMA_CHOOSE_THREADS / 32 ? of_warps[lane] : 0);
}

DEVICE void put_token(const gemma_choose_args &a, uint32_t token) {
  int next = a.state->position + (int)a.rows;
  a.tokens[next] = (int)token;
  a.state->position = next;
}

KERNEL(GEMMA_CHOOSE_THREADS, gemma_most, const GRID_CONSTANT gemma_choose_args a) {
  allow_next_kernel();
  uint64_t *of_warps = (uint64_t *)block_memory<512>();
  uint32_t first = block_x() * GEMMA_CHOOSE_LOGITS + 4 * thread_x();
  bool is_whole = first + 4 <= a.vocabulary;
  wait_for_previous_kernel();
  quad logits = {{0.0f, 0.0f, 0.0f, 0.0f}};
  if (is_whole) logits = load_quad(a.logits, first / 4);
  uint64_t most = 0;
  UNROLL for (int e = 0; e < 4; e++) {
    if (first + e >= a.vocabulary) continue;
    if (!is_whole) logits.at[e] = a.logits[first + e];
    if (a.softcap > 0.0f) {
      logits.at[e] = soft_capped(logits.at[e], a.softcap);
      if (!is_whole) a.logits[first + e] = logits.at[e];
    }
    most = greatest(most, rank_of(logits.at[e], first + e));
  }
  if (is_whole && a.softcap > 0.0f) store_quad(a.logits, first / 4, logits);
  most = greatest_of_block(most, of_warps);
  if (thread_x() == 0) a.of_blocks[block_x()] = most;
  if (!is_last_block(a.choice)) return;
  most = 0;
  for (uint32_t i = thread_x(); i < blocks_x(); i += GEMMA_CHOOSE_THREADS) most = greatest(most, load_of_blocks(a.of_blocks + i));
  most = greatest_of_block(most, of_warps + 32);
  if (thread_x()) return;
  if (a.is_greedy) put_token(a, token_of(most));
  a.choice->most = logit_of(most);
}

// ---- Weights ------------------------------------------------------------------

DEVICE uint32_t key_of(float logit, float most, float scale) {
  float x = logit == most ? 0.0f : mul_rn(add_rn(logit, -most), scale);
  if (!(x >= (float)GEMMA_KEY_LEAST)) return 0;
  float n = add_rn(add_rn(x, 12582912.0f), -12582912.0f), f = fma_rn(-1.0f, n, x);
  float e = fma_rn(GEMMA_EXP2_7, f, GEMMA_EXP2_6);
  e = fma_rn(e, f, GEMMA_EXP2_5);
  e = fma_rn(e, f, GEMMA_EXP2_4);
  e = fma_rn(e, f, GEMMA_EXP2_3);
  e = fma_rn(e, f, GEMMA_EXP2_2);
  e = fma_rn(e, f, GEMMA_EXP2_1);
  e = fma_rn(e, f, 1.0f);
  return 1 + float_to_bits(e) - 0x3f800000u + ((uint32_t)(float_to_int_rn(n) - GEMMA_KEY_LEAST) << 23);
}

// The keys of four tokens; 0 past the last.
DEVICE void load_keys(const gemma_choose_args &a, float most, uint32_t first, uint32_t *key) {
  quad logits = {{0.0f, 0.0f, 0.0f, 0.0f}};
  bool is_whole = first + 4 <= a.vocabulary;
  if (is_whole) logits = load_quad(a.logits, first / 4);
  UNROLL for (int e = 0; e < 4; e++) {
    if (!is_whole && first + e < a.vocabulary) logits.at[e] = a.logits[first + e];
    key[e] = first + e < a.vocabulary ? key_of(logits.at[e], most, a.scale) : 0;
  }
}

// ---- top_p --------------------------------------------------------------------

DEVICE uint64_t goal_of(uint64_t total, float top_p) {
  double wanted = (double)top_p * (double)total;
  uint64_t goal = (uint64_t)wanted;
  if ((double)goal < wanted) goal++;
  return goal < 1 ? 1 : goal > total ? total : goal;
}

// Thread t has the counts from the t-th last group of GEMMA_COUNTS_OF_THREAD on, and leaves
// zeros. The goal lies in the counts of the thread for which this is true, at *out_index, and
// *above comes to what lies above.
DEVICE bool find_goal(uint64_t *counts, uint64_t *sums, uint64_t *goal, float top_p, uint64_t *above, uint32_t *out_index) {
  uint64_t *its = counts + (GEMMA_COUNT_THREADS - 1 - thread_x()) * GEMMA_COUNTS_OF_THREAD, mine = 0, total;
  UNROLL for (int i = 0; i < GEMMA_COUNTS_OF_THREAD; i += 2) {
    word4 two = load_of_blocks((const word4 *)(its + i));
    mine += ((uint64_t)two.y << 32 | two.x) + ((uint64_t)two.w << 32 | two.z);
  }
  uint64_t from = *above + sum_before(mine, sums, &total);
  if (*goal == 0) *goal = goal_of(total, top_p);
  bool is_here = from < *goal && from + mine >= *goal;
  if (is_here) {
    uint32_t i = GEMMA_COUNTS_OF_THREAD - 1;
    NO_UNROLL for (; i > 0; i--) {
      uint64_t count = load_of_blocks(its + i);
      if (from + count >= *goal) break;
      from += count;
    }
    *out_index = (uint32_t)(its - counts) + i;
    *above = from;
  }
  UNROLL for (int i = 0; i < GEMMA_COUNTS_OF_THREAD; i += 2) *(word4 *)(its + i) = {0, 0, 0, 0};
  return is_here;
}

KERNEL(GEMMA_COUNT_THREADS, gemma_goal, const GRID_CONSTANT gemma_choose_args a) {
  allow_next_kernel();
  uint64_t *sums = (uint64_t *)block_memory<8 * GEMMA_COUNT_THREADS>();
  wait_for_previous_kernel();
  uint32_t key[4];
  load_keys(a, a.choice->most, 4 * (block_x() * GEMMA_COUNT_THREADS + thread_x()), key);
  UNROLL for (int e = 0; e < 4; e++)
    if (key[e]) atomic_add(a.counts + (key[e] >> GEMMA_KEY_LOW), gemma_weight(key[e]));
  if (!is_last_block(a.choice)) return;
  uint64_t goal = 0, above = 0;
  uint32_t group = 0;
  if (!find_goal(a.counts, sums, &goal, a.top_p, &above, &group)) return;
  a.choice->goal = goal;
  a.choice->above = above;
  a.choice->key_group = group;
}

KERNEL(GEMMA_COUNT_THREADS, gemma_least, const GRID_CONSTANT gemma_choose_args a) {
  allow_next_kernel();
  uint64_t *sums = (uint64_t *)block_memory<8 * GEMMA_COUNT_THREADS>();
  wait_for_previous_kernel();
  uint32_t key[4], group = a.choice->key_group;
  load_keys(a, a.choice->most, 4 * (block_x() * GEMMA_COUNT_THREADS + thread_x()), key);
  UNROLL for (int e = 0; e < 4; e++)
    if (key[e] && key[e] >> GEMMA_KEY_LOW == group)
      atomic_add(a.counts + (key[e] & ((1u << GEMMA_KEY_LOW) - 1)), gemma_weight(key[e]));
  if (!is_last_block(a.choice)) return;
  uint64_t goal = a.choice->goal, above = a.choice->above;
  uint32_t low = 0;
  if (!find_goal(a.counts, sums, &goal, a.top_p, &above, &low)) return;
  a.choice->least_key = group << GEMMA_KEY_LOW | low;
}

// ---- The choice ---------------------------------------------------------------

DEVICE uint64_t kept_weights(const gemma_choose_args &a, float most, uint32_t least, uint32_t first, uint64_t *weight) {
  uint32_t key[4];
  load_keys(a, most, first, key);
  uint64_t sum = 0;
  UNROLL for (int e = 0; e < 4; e++) {
    weight[e] = key[e] >= least ? gemma_weight(key[e]) : 0;
    sum += weight[e];
  }
  return sum;
}

KERNEL(GEMMA_CHOOSE_THREADS, gemma_choose, const GRID_CONSTANT gemma_choose_args a) {
  allow_next_kernel();
  uint64_t *sums = (uint64_t *)block_memory<8 * GEMMA_CHOOSE_THREADS>();
  uint64_t *found = (uint64_t *)block_memory<32>(); // block, and what is left of u in it
  wait_for_previous_kernel();
  float most = a.choice->most;
  uint32_t least = a.top_p < 1.0f ? a.choice->least_key : 1;
  uint64_t weight[4], total;
  uint64_t mine = kept_weights(a, most, least, block_x() * GEMMA_CHOOSE_LOGITS + 4 * thread_x(), weight);
  sum_before(mine, sums, &total);
  if (thread_x() == 0) a.of_blocks[block_x()] = total;
  if (!is_last_block(a.choice)) return;

  uint32_t each = (blocks_x() + GEMMA_CHOOSE_THREADS - 1) / GEMMA_CHOOSE_THREADS, begin = thread_x() * each;
  uint32_t end = begin + each < blocks_x() ? begin + each : blocks_x();
  mine = 0;
  NO_UNROLL for (uint32_t i = begin; i < end; i++) mine += load_of_blocks(a.of_blocks + i);
  uint64_t before = sum_before(mine, sums, &total);
  if (total == 0) { // every logit is NaN
    if (thread_x() == 0) put_token(a, 0);
    return;
  }
  uint64_t u = gemma_upper_product(gemma_splitmix64(a.seed, (uint32_t)(a.state->position + (int)a.rows)), total);
  if (u >= before && u - before < mine)
    NO_UNROLL for (uint32_t i = begin; i < end; i++) {
      uint64_t of_block = load_of_blocks(a.of_blocks + i);
      if (u >= before && u - before < of_block) {
        found[0] = i;
        found[1] = u - before;
      }
      before += of_block;
    }
  block_barrier();
  uint32_t first = (uint32_t)found[0] * GEMMA_CHOOSE_LOGITS + 4 * thread_x();
  u = found[1];
  mine = kept_weights(a, most, least, first, weight);
  before = sum_before(mine, sums, &total);
  if (u < before || u - before >= mine) return;
  bool is_found = false;
  UNROLL for (int e = 0; e < 4; e++) {
    if (!is_found && u - before < weight[e]) {
      put_token(a, first + e);
      is_found = true;
    }
    before += is_found ? 0 : weight[e];
  }
}

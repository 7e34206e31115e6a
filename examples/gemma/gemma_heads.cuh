// SPDX-License-Identifier: MIT
//
// rope_append of ops.h, and the copies between a ring and a linear buffer.
//
// A warp has one head of one row. A lane has quads of its lower half and the same quads
// of its upper half, so the two elements that rotate together are in one lane.
#pragma once

#include "gemma_rows.cuh"

enum { HEAD_QUADS = GEMMA_HEAD_DIM_MOST / 2 / 4 / 32 };

// To 2^-24 or so for |angle| up to 2^20, which positions are below.
struct turn {
  float sine, cosine;
};
DEVICE turn turn_of(float angle) {
  // angle - n pi/2 with pi/2 in three parts. The first product is exact to the last bit of
  // the difference, and n of the others small enough.
  float n = add_rn(fma_rn(angle, 0.63661977f, 12582912.0f), -12582912.0f);
  float r = fma_rn(n, -1.57079637f, angle);
  r = fma_rn(n, 4.37113883e-8f, r);
  r = fma_rn(n, 1.71512451e-15f, r);
  float r2 = mul_rn(r, r);
  float s = fma_rn(fma_rn(fma_rn(r2, 2.75573192e-6f, -1.98412698e-4f), r2, 8.33333333e-3f), r2, -1.66666667e-1f);
  s = fma_rn(mul_rn(s, r2), r, r);
  float c = fma_rn(fma_rn(fma_rn(r2, -2.75573192e-7f, 2.48015873e-5f), r2, -1.38888889e-3f), r2, 4.16666667e-2f);
  c = fma_rn(fma_rn(c, r2, -0.5f), r2, 1.0f);
  int quarter = float_to_int_rn(n) & 3;
  turn t = {quarter & 1 ? c : s, quarter & 1 ? s : c};
  if (quarter & 2) t.sine = -t.sine;
  if (quarter == 1 || quarter == 2) t.cosine = -t.cosine;
  return t;
}

KERNEL(GEMMA_ELEMENT_THREADS, gemma_rope_append, const GRID_CONSTANT gemma_heads_args a) {
  allow_next_kernel();
  uint32_t job = (block_x() * threads_x() + thread_x()) / 32, lane = thread_x() % 32, row = block_y();
  uint32_t half = a.head_dim / 8; // in quads
  bool is_q = job < a.q_heads, is_v = job >= a.q_heads + a.kv_heads;
  uint32_t head = is_q ? job : is_v ? job - a.q_heads - a.kv_heads : job - a.q_heads;
  bool is_there = head < (is_q ? a.q_heads : a.kv_heads);
  float inverse_dim = reciprocal_rn((float)a.head_dim);

  // No kernel between embed and sample changes the position, and none of those starts before
  // embed has waited.
  int position = a.state->position + (int)row;
  quad weight[HEAD_QUADS][2];
  turn turns[HEAD_QUADS][4];
  UNROLL for (int j = 0; j < HEAD_QUADS; j++) {
    uint32_t i = lane + 32 * j;
    UNROLL for (int h = 0; h < 2; h++) weight[j][h] = {{1.0f, 1.0f, 1.0f, 1.0f}};
    UNROLL for (int e = 0; e < 4; e++) turns[j][e] = {0.0f, 1.0f};
    if (is_v || i >= half) continue;
    UNROLL for (int h = 0; h < 2; h++) weight[j][h] = load_constant_quad(is_q ? a.q_norm : a.k_norm, i + h * half);
    quad frequency = load_constant_quad(a.frequencies, i);
    UNROLL for (int e = 0; e < 4; e++) turns[j][e] = turn_of(mul_rn((float)position, frequency.at[e]));
  }

  wait_for_previous_kernel();
  quad x[HEAD_QUADS][2];
  uint32_t stride = is_q ? a.q_stride : is_v ? a.v_stride : a.k_stride;
  const float *in = (is_q ? a.q : is_v ? a.v : a.k) + ((uint64_t)row * stride + head * a.head_dim);
  float squares = 0.0f;
  UNROLL for (int j = 0; j < HEAD_QUADS; j++) {
    uint32_t i = lane + 32 * j;
    UNROLL for (int h = 0; h < 2; h++) {
      x[j][h] = {{0.0f, 0.0f, 0.0f, 0.0f}};
      if (is_there && i < half) x[j][h] = load_quad(in, i + h * half);
      squares = add_squares(x[j][h], squares);
    }
  }
  float factor = norm_factor(warp_sum(squares), inverse_dim, a.epsilon);
  if (is_v && !a.has_v_norm) factor = 1.0f;

  uint64_t to = (uint64_t)row * a.q_heads + head;
  if (!is_q) {
    int slot = a.ring ? position % (int)a.ring : a.first_slot >= 0 ? a.first_slot + (int)row : position;
    // Of two rows with one slot of a ring the later stays.
    is_there = is_there && slot >= 0 && slot < (int)a.slots && (a.ring == 0 || row + a.ring >= a.rows);
    to = (uint64_t)head * a.slots + (uint32_t)slot;
  }
  if (!is_there) return;
  uint16_t *out = (uint16_t *)(is_q ? a.out_q : is_v ? a.out_v : a.out_k) + to * a.head_dim;
  UNROLL for (int j = 0; j < HEAD_QUADS; j++) {
    uint32_t i = lane + 32 * j;
    if (i >= half) continue;
    quad lower, upper;
    UNROLL for (int e = 0; e < 4; e++) {
      float l = mul_rn(mul_rn(x[j][0].at[e], factor), weight[j][0].at[e]);
      float u = mul_rn(mul_rn(x[j][1].at[e], factor), weight[j][1].at[e]);
      lower.at[e] = is_v ? l : fma_rn(l, turns[j][e].cosine, -mul_rn(u, turns[j][e].sine));
      upper.at[e] = is_v ? u : fma_rn(u, turns[j][e].cosine, mul_rn(l, turns[j][e].sine));
    }
    store_quad_bf16(out, i, lower);
    store_quad_bf16(out, i + half, upper);
  }
}

// The token at slot `first + j` of the linear buffer is the j-th of `count` that end where the
// step's rows begin, or end. A thread has 8 elements; K is below kv_heads in block_y, then V.
struct ring_place {
  uint64_t in_ring, in_linear; // in 16 bytes
  bool is_there;
};
DEVICE ring_place ring_place_of(const gemma_ring_args &a) {
  uint32_t eighths = a.head_dim / 8, at = block_x() * GEMMA_ELEMENT_THREADS + thread_x();
  uint32_t j = at / eighths, head = block_y() % a.kv_heads;
  int token = a.state->position + (int)a.rows - (int)a.count + (int)j;
  bool is_there = j < a.count && token >= 0 && a.first + j < a.slots && j + a.ring >= a.count;
  uint32_t slot = is_there ? (uint32_t)token % a.ring : 0;
  return {((uint64_t)head * a.ring + slot) * eighths + at % eighths,
          ((uint64_t)head * a.slots + a.first + j) * eighths + at % eighths, is_there};
}

KERNEL(GEMMA_ELEMENT_THREADS, gemma_ring_to_linear, const GRID_CONSTANT gemma_ring_args a) {
  allow_next_kernel();
  wait_for_previous_kernel();
  ring_place place = ring_place_of(a);
  bool is_k = block_y() < a.kv_heads;
  const word4 *from = (const word4 *)(is_k ? a.from_k : a.from_v);
  word4 *to = (word4 *)(is_k ? a.to_k : a.to_v);
  if (place.is_there) to[place.in_linear] = load_shared_by_all(from + place.in_ring);
}

KERNEL(GEMMA_ELEMENT_THREADS, gemma_linear_to_ring, const GRID_CONSTANT gemma_ring_args a) {
  allow_next_kernel();
  wait_for_previous_kernel();
  ring_place place = ring_place_of(a);
  bool is_k = block_y() < a.kv_heads;
  const word4 *from = (const word4 *)(is_k ? a.from_k : a.from_v);
  word4 *to = (word4 *)(is_k ? a.to_k : a.to_v);
  if (place.is_there) to[place.in_ring] = load_shared_by_all(from + place.in_linear);
}

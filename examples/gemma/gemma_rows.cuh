// SPDX-License-Identifier: MIT
//
// embed, add_norm, gelu_mul of ops.h: rows of the residual stream. Four elements are a quad.
//
// Decode has one row, so add_norm is one block, and what it costs is latency: everything
// that no earlier kernel writes is loaded before waiting for it, the row stays in
// registers from the first load to the last store, and each of the two sums takes one
// barrier.
#pragma once

#include "tensor.cuh"

#include "gemma_args.h"

enum { QUADS = GEMMA_QUADS_OF_THREAD };

struct quad {
  float at[4];
};

DEVICE quad floats_of(word4 v) {
  return {{bits_to_float(v.x), bits_to_float(v.y), bits_to_float(v.z), bits_to_float(v.w)}};
}
DEVICE quad load_quad(const float *p, uint32_t i) { return floats_of(load_shared_by_all((const word4 *)p + i)); }
DEVICE quad load_constant_quad(const float *p, uint32_t i) { return floats_of(load_weights((const word4 *)p + i)); }
DEVICE void store_quad(float *p, uint32_t i, const quad &v) {
  ((word4 *)p)[i] = {float_to_bits(v.at[0]), float_to_bits(v.at[1]), float_to_bits(v.at[2]), float_to_bits(v.at[3])};
}
DEVICE void store_quad_bf16(void *p, uint64_t i, const quad &v) {
  ((word2 *)p)[i] = {pack_bf16(v.at[0], v.at[1]), pack_bf16(v.at[2], v.at[3])};
}
DEVICE float add_squares(const quad &v, float sum) {
  UNROLL for (int e = 0; e < 4; e++) sum = fma_rn(v.at[e], v.at[e], sum);
  return sum;
}

DEVICE float warp_sum(float v) {
  UNROLL for (int mask = 16; mask > 0; mask /= 2) v = add_rn(v, shuffle_xor(v, mask));
  return v;
}

// Of all threads of the block, in whole warps, for each of them. `of_warps` [32] is used once.
DEVICE float block_sum(float v, float *of_warps) {
  uint32_t warp = thread_x() / 32, lane = thread_x() % 32;
  v = warp_sum(v);
  if (lane == 0) of_warps[warp] = v;
  block_barrier();
  return warp_sum(lane < threads_x() / 32 ? of_warps[lane] : 0.0f);
}

// What makes a norm of values whose squares have this sum.
DEVICE float norm_factor(float squares, float inverse_width, float epsilon) {
  return reciprocal_root(fma_rn(squares, inverse_width, epsilon));
}

// x[row] = h / rms(h) * weight.
DEVICE void store_norm(const quad *h, const quad *weight, float factor, uint32_t quads, uint64_t row, void *x) {
  UNROLL for (int j = 0; j < QUADS; j++) {
    uint32_t i = thread_x() + j * threads_x();
    quad out;
    UNROLL for (int e = 0; e < 4; e++) out.at[e] = mul_rn(mul_rn(h[j].at[e], factor), weight[j].at[e]);
    if (i < quads) store_quad_bf16(x, row * quads + i, out);
  }
}

DEVICE float signed_byte(uint32_t word, int i) { return (float)(int8_t)(word >> 8 * i); }

KERNEL(GEMMA_ROW_THREADS, gemma_embed, const GRID_CONSTANT gemma_embed_args a) {
  float *of_warps = (float *)block_memory<128>();
  uint32_t row = block_x(), quads = a.width / 4;
  float inverse_width = reciprocal_rn((float)a.width);
  quad weight[QUADS], h[QUADS];
  UNROLL for (int j = 0; j < QUADS; j++) {
    uint32_t i = thread_x() + j * threads_x();
    weight[j] = i < quads ? load_constant_quad(a.norm, i) : quad{{0.0f, 0.0f, 0.0f, 0.0f}};
  }
  wait_for_previous_kernel();
  // Only now: no later kernel of the step starts while an older step is being computed, so that
  // all of them may read the position before they wait.
  allow_next_kernel();
  int position = a.state->position;
  uint32_t token = (uint32_t)a.tokens[position + (int)row];
  float squares = 0.0f;
  UNROLL for (int j = 0; j < QUADS; j++) {
    uint32_t i = thread_x() + j * threads_x();
    h[j] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (i >= quads) continue;
    uint32_t codes = load_weights((const uint32_t *)(a.codes + (uint64_t)token * a.width) + i);
    uint64_t group = (uint64_t)token * (a.width / a.group) + 4 * i / a.group;
    float scale = load_element(a.scales, group, a.scale_type), zero = 0.0f;
    if (a.zero_type == TYPE_S8) zero = (float)((const int8_t *)a.zeros)[group];
    else if (a.zero_type != TYPE_NONE) zero = load_element(a.zeros, group, a.zero_type);
    UNROLL for (int e = 0; e < 4; e++) {
      float code = signed_byte(codes, e);
      float value = a.is_min ? fma_rn(scale, code, zero) : mul_rn(scale, add_rn(code, -zero));
      h[j].at[e] = mul_rn(value, a.root);
    }
    store_quad(a.h + (uint64_t)row * a.width, i, h[j]);
    squares = add_squares(h[j], squares);
  }
  if (row == 0 && thread_x() == 0) {
    int length = position + (int)a.rows;
    a.state->kv_len_full = length;
    a.state->kv_len_ring = length < (int)a.window ? length : (int)a.window;
  }
  store_norm(h, weight, norm_factor(block_sum(squares, of_warps), inverse_width, a.epsilon), quads, row, a.x);
}

KERNEL(GEMMA_ROW_THREADS, gemma_add_norm, const GRID_CONSTANT gemma_add_norm_args a) {
  allow_next_kernel();
  float *of_warps = (float *)block_memory<256>();
  uint32_t row = block_x(), quads = a.width / 4;
  float inverse_width = reciprocal_rn((float)a.width);
  float scale = a.scale ? a.scale[0] : 1.0f;
  quad post[QUADS], next[QUADS], y[QUADS], h[QUADS];
  UNROLL for (int j = 0; j < QUADS; j++) {
    uint32_t i = thread_x() + j * threads_x();
    post[j] = next[j] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (i >= quads) continue;
    post[j] = load_constant_quad(a.post, i);
    next[j] = load_constant_quad(a.next, i);
  }
  wait_for_previous_kernel();
  const float *y_row = a.y + (uint64_t)row * a.width;
  float *h_row = a.h + (uint64_t)row * a.width;
  UNROLL for (int j = 0; j < QUADS; j++) {
    uint32_t i = thread_x() + j * threads_x();
    y[j] = h[j] = {{0.0f, 0.0f, 0.0f, 0.0f}};
    if (i >= quads) continue;
    y[j] = load_quad(y_row, i);
    h[j] = load_quad(h_row, i);
  }
  float squares = 0.0f;
  UNROLL for (int j = 0; j < QUADS; j++) squares = add_squares(y[j], squares);
  float factor = norm_factor(block_sum(squares, of_warps), inverse_width, a.epsilon);
  squares = 0.0f;
  UNROLL for (int j = 0; j < QUADS; j++) {
    uint32_t i = thread_x() + j * threads_x();
    UNROLL for (int e = 0; e < 4; e++)
      h[j].at[e] = mul_rn(fma_rn(mul_rn(y[j].at[e], factor), post[j].at[e], h[j].at[e]), scale);
    squares = add_squares(h[j], squares);
    if (i < quads) store_quad(h_row, i, h[j]);
  }
  if (row < a.first_x_row) return;
  factor = norm_factor(block_sum(squares, of_warps + 32), inverse_width, a.epsilon);
  store_norm(h, next, factor, quads, row - a.first_x_row, a.x);
}

// g * (1 + tanh(u)) / 2 = g / (1 + exp(-2 u)), u = sqrt(2/pi) (g + 0.044715 g^3)
DEVICE float gelu_tanh(float g) {
  const float minus_2_log2_e_root = -2.3022082f; // -2 log2(e) sqrt(2/pi)
  float u = mul_rn(fma_rn(mul_rn(mul_rn(g, g), 0.044715f), g, g), minus_2_log2_e_root);
  return div_rn(g, add_rn(1.0f, exp2_fast(u)));
}

// Quads of a row, and from row to row of gate and of up.
KERNEL(GEMMA_ELEMENT_THREADS, gemma_gelu_mul, const float *gate, const float *up, void *x, uint32_t quads, uint32_t stride) {
  allow_next_kernel();
  uint32_t i = block_x() * GEMMA_ELEMENT_THREADS + thread_x(), row = block_y();
  wait_for_previous_kernel();
  if (i >= quads) return;
  quad g = load_quad(gate, row * stride + i), u = load_quad(up, row * stride + i);
  UNROLL for (int e = 0; e < 4; e++) g.at[e] = mul_rn(gelu_tanh(g.at[e]), u.at[e]);
  store_quad_bf16(x, row * quads + i, g);
}

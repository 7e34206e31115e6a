// SPDX-License-Identifier: MIT
//
// y = W x for int4 and int8 weights and 8-bit activations, with dp4a.
//
// Layout. A tile is 16 rows. Four lanes share a row, eight rows stand side by side in
// a warp, and each lane has two rows, eight apart, so that the activations it loads
// serve twice. In one step a lane takes 64 consecutive k of its rows, a warp 256:
//
//            k:  0..63   64..127  128..191  192..255
//   row  0,  8   lane 0  lane 1   lane 2    lane 3
//   row  1,  9   lane 4  lane 5   lane 6    lane 7
//   ...
//   row  7, 15   lane 28 lane 29  lane 30   lane 31
//
// Codes lie in the order in which they are loaded: [tile][step][piece][lane], pieces
// of 16 bytes, so each load of a warp is 512 consecutive bytes. In a word of int4
// codes the low nibbles are k..k+3 and the high ones k+4..k+7, so that one dp4a takes
// activations in natural order. Scales lie in [tile][group of 64 or more][row of 8],
// one record for a lane's two rows, as wide as the group size asks for. Zeros stand
// behind their scales; those of one byte behind the eight records of the group.
//
// Work. The warps of a block take the steps of one tile in turn; their sums meet in
// shared memory and are added in the order of the warps. How many warps is chosen
// when planning, so that every warp gets equally many steps. The order of additions
// depends on k and the number of warps only: a row's result does not depend on M.
//
// Start. Weights do not depend on the kernel before this one, so the first step's
// are requested before waiting for it (programmatic dependent launch, sm_90).
#pragma once

#include "act.cuh"
#include "matvec_args.h"

// What a lane holds of one step: 64 codes and the raw scales of its two rows.
// per64 counts scales per 64 weights: 4 for group 16, 2 for 32, 1 from 64 on.
template <int bits, int per64>
struct weights64 {
  enum { pieces = bits == 4 ? 2 : 4, scale_words = 4 * per64 };
  word4 code[2][pieces];
  uint32_t scale[scale_words];
};

// Of a scale, with its zero.
DEVICE uint32_t scale_bytes(uint32_t format) { return format == SCALE_HALF_BYTE ? 3 : (format & 1 ? 4 : 2) << (format >> 1); }

template <int words>
DEVICE void load_words(uint32_t *out, const uint8_t *p) {
  if (words >= 4) {
    UNROLL for (int i = 0; i < words / 4; i++) {
      word4 v = load_weights((const word4 *)p + i);
      out[4 * i] = v.x;
      out[4 * i + 1] = v.y;
      out[4 * i + 2] = v.z;
      out[4 * i + 3] = v.w;
    }
  } else if (words == 2) {
    word2 v = load_weights((const word2 *)p);
    out[0] = v.x;
    out[1] = v.y;
  } else {
    out[0] = load_weights((const uint32_t *)p);
  }
}

template <int bits, int per64>
DEVICE void load_step(weights64<bits, per64> &w, const matvec_args &a, uint32_t tile, uint32_t step, uint32_t lane) {
  typedef weights64<bits, per64> weights;
  uint64_t steps = a.kpad / 256;
  const word4 *codes = (const word4 *)a.packed + (tile * steps + step) * (2 * weights::pieces * 32) + lane;
  UNROLL for (int row = 0; row < 2; row++)
    UNROLL for (int i = 0; i < weights::pieces; i++)
      w.code[row][i] = load_weights(codes + (row * weights::pieces + i) * 32);
  uint32_t group = (step * 4 + lane % 4) >> a.group_shift;
  uint32_t each = 2 * per64 * scale_bytes(a.format), row8 = lane / 4;
  const uint8_t *scales = a.packed + a.scales_at + ((uint64_t)tile * a.groups + group) * (8 * each);
  if (a.format == SCALE_HALF_BYTE) {
    const uint8_t *zeros = scales + 8 * (4 * per64);
    load_words<per64>(w.scale, scales + row8 * (4 * per64));
    if (per64 > 1)
      load_words<(per64 + 1) / 2>(w.scale + per64, zeros + row8 * (2 * per64));
    else // two records share a word
      w.scale[1] = load_weights((const uint32_t *)zeros + row8 / 2) >> row8 % 2 * 16;
    return;
  }
  scales += row8 * each;
  if (a.format == SCALE_HALF)
    load_words<per64>(w.scale, scales);
  else if (a.format == SCALE_FLOAT_ZERO)
    load_words<4 * per64>(w.scale, scales);
  else
    load_words<2 * per64>(w.scale, scales);
}

// w = scale * code + least, in f32, for both rows.
template <int bits, int per64>
struct scales64 {
  float scale[2 * per64], least[2 * per64];
};

template <int bits, int per64>
DEVICE scales64<bits, per64> decode_scales(const weights64<bits, per64> &w, const matvec_args &a) {
  scales64<bits, per64> s;
  UNROLL for (int i = 0; i < 2 * per64; i++) {
    float zero = bits == 4 ? 8.0f : 0.0f;
    if (a.format == SCALE_HALF || a.format == SCALE_HALF_BYTE) {
      s.scale[i] = half_to_float((uint16_t)(w.scale[i / 2] >> (i % 2 * 16)), a.scale_type);
      // 2^23 + byte, less 2^23; of a signed zero, less another 128.
      if (a.format == SCALE_HALF_BYTE)
        zero = add_rn(bits_to_float(0x4b000000u | (w.scale[per64 + i / 4] >> (i % 4 * 8) & 0xff)),
                      a.zero_type == TYPE_S8 ? -8388736.0f : -8388608.0f);
    } else if (a.format == SCALE_FLOAT) {
      s.scale[i] = bits_to_float(w.scale[i]);
    } else if (a.format == SCALE_HALF_ZERO) {
      s.scale[i] = half_to_float((uint16_t)w.scale[i], a.scale_type);
      zero = half_to_float((uint16_t)(w.scale[i] >> 16), a.zero_type);
    } else {
      s.scale[i] = bits_to_float(w.scale[2 * i]);
      zero = bits_to_float(w.scale[2 * i + 1]);
    }
    s.least[i] = a.form == 0 ? mul_rn(-zero, s.scale[i]) : zero;
  }
  return s;
}

// Dot product of 16 codes, number i of the 64, with 16 activations.
template <int bits, int per64>
DEVICE int dot16(const weights64<bits, per64> &w, const act64 &x, int row, int i) {
  int sum = 0;
  if (bits == 4) {
    word4 piece = w.code[row][i / 2];
    uint32_t first = i % 2 ? piece.z : piece.x, second = i % 2 ? piece.w : piece.y;
    sum = dot4_us(first & 0x0f0f0f0fu, x.code[4 * i], sum);
    sum = dot4_us(first >> 4 & 0x0f0f0f0fu, x.code[4 * i + 1], sum);
    sum = dot4_us(second & 0x0f0f0f0fu, x.code[4 * i + 2], sum);
    sum = dot4_us(second >> 4 & 0x0f0f0f0fu, x.code[4 * i + 3], sum);
  } else {
    word4 piece = w.code[row][i];
    sum = dot4_ss(piece.x, x.code[4 * i], sum);
    sum = dot4_ss(piece.y, x.code[4 * i + 1], sum);
    sum = dot4_ss(piece.z, x.code[4 * i + 2], sum);
    sum = dot4_ss(piece.w, x.code[4 * i + 3], sum);
  }
  return sum;
}

// acc + d * (scale * dp + least * s), dp and s being exact sums of integers.
DEVICE float add_part(float acc, int dp, int s, float d, float scale, float least) {
  return fma_rn(d, fma_rn(scale, int_to_float(dp), mul_rn(least, int_to_float(s))), acc);
}

template <int bits, int per64>
DEVICE float add64(float acc, const weights64<bits, per64> &w, const scales64<bits, per64> &s, const act64 &x,
                   int row) {
  UNROLL for (int block = 0; block < 2; block++) { // d is that of 32 activations
    int lower = dot16(w, x, row, 2 * block), upper = dot16(w, x, row, 2 * block + 1);
    int sum_lower = x.sum[2 * block], sum_upper = x.sum[2 * block + 1];
    if (per64 == 4) {
      int at = row * per64 + 2 * block;
      acc = add_part(acc, lower, sum_lower, x.d[block], s.scale[at], s.least[at]);
      acc = add_part(acc, upper, sum_upper, x.d[block], s.scale[at + 1], s.least[at + 1]);
    } else {
      int at = row * per64 + (per64 == 2 ? block : 0);
      acc = add_part(acc, lower + upper, sum_lower + sum_upper, x.d[block], s.scale[at], s.least[at]);
    }
  }
  return acc;
}

// Where activations come from: one of the two layouts, or a row of x, which every block
// quantises for itself. That spares the launch of a kernel, and a row that is as long as a
// block's share of the weights costs it little: those are on their way in the meantime.
enum act_source { ACT_SCALAR, ACT_VECTOR, ACT_FROM_X };

// rows_most: rows of x in one pass. Fewer are computed as copies of the last.
template <int bits, int per64, int rows_most, act_source source>
DEVICE void matvec_tile(const matvec_args &a) {
  typedef weights64<bits, per64> weights;
  allow_next_kernel();
  uint32_t warp = thread_x() / 32, lane = thread_x() % 32, warps = threads_x() / 32;
  uint32_t tile = block_x(), steps = a.kpad / 256;
  weights now, next;
  if (warp < steps) load_step(now, a, tile, warp, lane);
  if (warp + warps < steps) load_step(next, a, tile, warp + warps, lane);
  wait_for_previous_kernel();
  const uint8_t *act = a.act;
  if (source == ACT_FROM_X) {
    act = (const uint8_t *)dynamic_block_memory();
    quantize_for_block<bits == 4 ? 2 : 1>(a.act, (uint8_t *)act, a.k, a.kpad, a.x_type);
    block_barrier();
  } else if (source == ACT_VECTOR && a.staged) { // one trip to the L2 for all steps
    word4 *stage = (word4 *)dynamic_block_memory();
    for (uint32_t i = thread_x(); i < a.staged / 16; i += threads_x()) stage[i] = load_shared_by_all((const word4 *)act + i);
    block_barrier();
    act = (const uint8_t *)stage;
  }

  float acc[rows_most][2];
  UNROLL for (int m = 0; m < rows_most; m++) acc[m][0] = acc[m][1] = 0.0f;
  uint32_t row_bytes = source == ACT_SCALAR ? act_row_bytes_scalar(a.kpad) : act_row_bytes_vector(a.kpad);
  for (uint32_t step = warp; step < a.kpad / 256; step += warps) { // not "steps": that costs a register, and spills
    scales64<bits, per64> scales = decode_scales(now, a);
    UNROLL for (int m = 0; m < rows_most; m++) {
      const uint8_t *row = act + (uint64_t)((uint32_t)m < a.m ? m : a.m - 1) * row_bytes;
      uint32_t at = step * 4 + lane % 4;
      act64 x = source == ACT_SCALAR ? load_act_scalar(row, at) : load_act_vector(row, at);
      acc[m][0] = add64(acc[m][0], now, scales, x, 0);
      acc[m][1] = add64(acc[m][1], now, scales, x, 1);
    }
    now = next;
    if (step + 2 * warps < steps) load_step(next, a, tile, step + 2 * warps, lane);
  }

  float *sums = (float *)block_memory<(rows_most == 1 ? MATVEC_THREADS_LEAN : MATVEC_THREADS) / 32 * rows_most * TILE_ROWS * 4>();
  UNROLL for (int m = 0; m < rows_most; m++)
    UNROLL for (int row = 0; row < 2; row++) {
      float sum = acc[m][row];
      sum = add_rn(sum, shuffle_xor(sum, 1));
      sum = add_rn(sum, shuffle_xor(sum, 2));
      if (lane % 4 == 0) sums[(warp * rows_most + m) * TILE_ROWS + row * 8 + lane / 4] = sum;
    }
  block_barrier();
  for (uint32_t i = thread_x(); i < (uint32_t)(rows_most * TILE_ROWS); i += threads_x()) {
    uint32_t m = i / TILE_ROWS, n = tile * TILE_ROWS + i % TILE_ROWS;
    if (m >= a.m || n >= a.n) continue;
    // All loads before the first addition: one trip to shared memory, not one for each warp.
    enum { warps_most = (rows_most == 1 ? MATVEC_THREADS_LEAN : MATVEC_THREADS) / 32 };
    float part[warps_most];
    UNROLL for (uint32_t w = 0; w < warps_most; w++) part[w] = w < warps ? sums[w * rows_most * TILE_ROWS + i] : 0.0f;
    float sum = part[0];
    UNROLL for (uint32_t w = 1; w < warps_most; w++) sum = w < warps ? add_rn(sum, part[w]) : sum;
    if (a.bias_type != TYPE_NONE) sum = add_rn(sum, load_element(a.bias, n, a.bias_type));
    store_element(a.y, (uint64_t)m * a.n + n, a.y_type, sum);
  }
}

// How many blocks must be resident; 0 leaves it to ptxas. One kernel would spill for the
// two that it aims at, and some take a few registers too many for it when they are left alone.
constexpr int matvec_blocks(int bits, int group, int m, act_source source) {
  if (bits == 8) return group == 64 && m == 8 && source == ACT_SCALAR ? 1 : group == 32 && source == ACT_FROM_X ? 2 : 0;
  return group <= 32 && m == 4 ? 2 : 0;
}

// Every kernel of one operation: groups of 16, 32, and 64 or more; 1, 2, 4 or 8 rows
// a pass. NAME_m1_x begins with x.
#define MATVEC_KERNEL(name, bits, g, per64, m, source)                                            \
  KERNEL_RESIDENT(MATVEC_THREADS, matvec_blocks(bits, g, m, source), name, const GRID_CONSTANT matvec_args a) { \
    matvec_tile<bits, per64, m, source>(a);                                                       \
  }
#define MATVEC_KERNEL_LEAN(name, bits, g, per64, m, source)                                   \
  KERNEL_RESIDENT(MATVEC_THREADS_LEAN, 2, name, const GRID_CONSTANT matvec_args a) {          \
    matvec_tile<bits, per64, m, source>(a);                                                   \
  }
#define MATVEC_KERNELS_M1(op, suffix, bits, source, KERNEL_32)          \
  MATVEC_KERNEL(op##_g16##suffix, bits, 16, 4, 1, source)               \
  KERNEL_32(op##_g32##suffix, bits, 32, 2, 1, source)                   \
  KERNEL_32(op##_g64##suffix, bits, 64, 1, 1, source)
#define MATVEC_ROWS(op, bits, g, per64, source)              \
  MATVEC_KERNEL(op##_g##g##_m2, bits, g, per64, 2, source)   \
  MATVEC_KERNEL(op##_g##g##_m4, bits, g, per64, 4, source)   \
  MATVEC_KERNEL(op##_g##g##_m8, bits, g, per64, 8, source)
#define MATVEC_KERNELS(op, bits, source, KERNEL_32)          \
  MATVEC_KERNELS_M1(op, _m1, bits, source, KERNEL_32)        \
  MATVEC_ROWS(op, bits, 16, 4, source)                       \
  MATVEC_ROWS(op, bits, 32, 2, source)                       \
  MATVEC_ROWS(op, bits, 64, 1, source)

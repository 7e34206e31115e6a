// SPDX-License-Identifier: MIT
//
// Attention spends its time here when it is emulated, so these run at full speed in
// builds with sanitizers too: they touch nothing but their own arrays, and the parts,
// which the kernel's side fills and reads.
#include "matrix.h"

#include <cstring>

#if defined(__clang__)
#define FAST __attribute__((no_sanitize("address", "undefined")))
#else
#define FAST __attribute__((optimize("O3"), no_sanitize("address", "undefined")))
#endif

namespace fakecuda {
namespace {

typedef double pair __attribute__((vector_size(16)));

// Two 16-bit floats in each word, the lower half first.
struct operands {
  uint32_t a[16][8];
  uint16_t b[16][8];
};
struct wide_operands {
  alignas(64) double a[16][16];
  pair b[16][4];
};

FAST void collect(void *const *lanes, operands *out) {
  for (int i = 0; i < 32; i++) {
    const product_part &p = *(const product_part *)lanes[i];
    int row = i / 4, column = i % 4;
    for (int j = 0; j < 4; j++) out->a[row + j % 2 * 8][column + j / 2 * 4] = p.a[j];
    for (int j = 0; j < 2; j++) {
      out->b[2 * column + 8 * j][row] = (uint16_t)p.b[j];
      out->b[2 * column + 8 * j + 1][row] = (uint16_t)(p.b[j] >> 16);
    }
  }
}

template <bool is_f16>
FAST inline __attribute__((always_inline)) double wide(uint32_t h) {
  uint32_t u = is_f16 ? (h & 0x7fff) << 13 : h << 16;
  float f;
  memcpy(&f, &u, 4);
  if (is_f16) { // its exponents as if they were those of f32, then moved to their place
    f *= 0x1p112f;
    memcpy(&u, &f, 4);
    u |= ((h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0) | (h & 0x8000) << 16;
    memcpy(&f, &u, 4);
  }
  return f;
}

template <bool is_f16>
FAST void widen(const operands &from, wide_operands *to) {
  const uint32_t *a = from.a[0];
  const uint16_t *b = from.b[0];
  double *wide_a = to->a[0], *wide_b = (double *)to->b[0];
  for (int i = 0; i < 128; i++) {
    wide_a[2 * i] = wide<is_f16>(a[i] & 0xffff);
    wide_a[2 * i + 1] = wide<is_f16>(a[i] >> 16);
  }
  for (int i = 0; i < 128; i++) wide_b[i] = wide<is_f16>(b[i]);
}

// Two rows at a time: enough sums under way, and they fit into the registers.
FAST void multiply_wide(const wide_operands &m, double (*out)[8]) {
  for (int row = 0; row < 16; row += 2) {
    pair upper[4] = {}, lower[4] = {};
    for (int k = 0; k < 16; k++) {
      pair x = {m.a[row][k], m.a[row][k]}, y = {m.a[row + 1][k], m.a[row + 1][k]};
      for (int j = 0; j < 4; j++) {
        upper[j] += x * m.b[k][j];
        lower[j] += y * m.b[k][j];
      }
    }
    for (int j = 0; j < 8; j++) {
      out[row][j] = upper[j / 2][j % 2];
      out[row + 1][j] = lower[j / 2][j % 2];
    }
  }
}

template <bool is_f16>
FAST void multiply(void *const *lanes) {
  operands halves;
  wide_operands m;
  double sums[16][8];
  collect(lanes, &halves);
  widen<is_f16>(halves, &m);
  multiply_wide(m, sums);
  const uint32_t gpu_nan = 0x7fffffff;
  float nan;
  memcpy(&nan, &gpu_nan, 4);
  for (int i = 0; i < 32; i++) {
    product_part &p = *(product_part *)lanes[i];
    for (int j = 0; j < 4; j++) {
      float sum = (float)(p.c[j] + sums[i / 4 + j / 2 * 8][i % 4 * 2 + j % 2]);
      p.c[j] = sum != sum ? nan : sum;
    }
  }
}

// Rows lie anywhere in shared memory: read with the sanitizers watching.
void collect_rows(void *const *lanes, uint16_t (*out)[8]) {
  for (int i = 0; i < 32; i++) memcpy(out[i], ((const matrix_part *)lanes[i])->row, 16);
}

} // namespace

void multiply_bf16(void *const *lanes) { multiply<false>(lanes); }
void multiply_f16(void *const *lanes) { multiply<true>(lanes); }

void load_matrices(void *const *lanes) {
  uint16_t rows[32][8];
  collect_rows(lanes, rows);
  for (int i = 0; i < 32; i++)
    for (int m = 0; m < 4; m++) memcpy(&((matrix_part *)lanes[i])->out[m], &rows[8 * m + i / 4][i % 4 * 2], 4);
}

void load_matrices_transposed(void *const *lanes) {
  uint16_t rows[32][8];
  collect_rows(lanes, rows);
  for (int i = 0; i < 32; i++)
    for (int m = 0; m < 4; m++) {
      int row = 8 * m + i % 4 * 2, column = i / 4;
      ((matrix_part *)lanes[i])->out[m] = rows[row][column] | (uint32_t)rows[row + 1][column] << 16;
    }
}

} // namespace fakecuda

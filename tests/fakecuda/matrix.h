// SPDX-License-Identifier: MIT
//
// What the lanes of a warp do with matrices, for do_together: the fragments are those
// that ptx/tensor.cuh describes.
#pragma once

#include <cstdint>

namespace fakecuda {

// A lane's part of c += A B: sums in f32 of products of 16-bit floats. The 16 products
// of an element are exact and added in double, c as well; that is rounded once.
struct product_part {
  float c[4];
  uint32_t a[4], b[2];
};
void multiply_bf16(void *const *lanes);
void multiply_f16(void *const *lanes);

// A lane's part of loading four 8 x 8 matrices: one row, and what the lane gets.
struct matrix_part {
  const void *row;
  uint32_t out[4];
};
void load_matrices(void *const *lanes);
void load_matrices_transposed(void *const *lanes);

} // namespace fakecuda

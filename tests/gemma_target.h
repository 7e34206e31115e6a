/* SPDX-License-Identifier: MIT */

/* What the suites of Gemma's operations share: the devices they run on, and memory there. */
#ifndef WEIR_TESTS_GEMMA_TARGET_H
#define WEIR_TESTS_GEMMA_TARGET_H

#include "../examples/gemma/ops.h"
#include "stand_in.h"

/* The stand-in driver as several machines, and the CPU. With WEIR_TEST_REAL_CUDA set, this
 * machine's own cuda:0 instead of the stand-in. */
enum { TARGET_CPU = 3, TARGETS = 4 };
bool target_is_real(void);

typedef struct target {
  weir_runtime *runtime;
  weir_device *device;
  gemma_ops *ops;
  bool is_cuda;
} target;

void target_open(target *t, int which, uint32_t rows_most, uint32_t vocabulary);
void target_close(target *t);

/* Memory of the device with a margin behind it, which target_take checks. bytes of null: 0xff,
 * so that whatever is not written is NaN. */
void *target_put(target *t, const void *bytes, size_t size);
/* Copies it into out (may be null) and frees it. */
void target_take(target *t, void *memory, size_t size, void *out);
void target_read(target *t, const void *memory, size_t size, void *out);

/* Element i of ops->x_type, or bf16. */
double target_x(const target *t, const void *x, size_t i);
double bf16_value(uint16_t bits);
size_t target_x_size(const target *t);

/* got is want to within the rounding of its type (bf16: half a unit in the last place) and
 * `slack`; both may be NaN, or the same infinity. */
bool is_near(double got, double want, bool is_bf16, double slack);
#define ASSERT_NEAR(got, want, is_bf16, slack, at) \
  ck_assert_msg(is_near((got), (want), (is_bf16), (slack)), "%s: element %u is %.9g, not %.9g", __func__, (unsigned)(at), (double)(got), (double)(want))

/* In [-1, 1). */
float random_value(void);
void random_values(float *out, size_t count, float scale);

#endif

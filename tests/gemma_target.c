/* SPDX-License-Identifier: MIT */
#include "gemma_target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 512 };

static const struct {
  const char *devices, *shuffle, *resident;
} machines[] = {{"sm=90", NULL, NULL}, {"sm=80", NULL, NULL}, {"sm=90,sms=4", "7", "5"}};

static void set_or_unset(const char *name, const char *value) {
  if (value) setenv(name, value, 1);
  else unsetenv(name);
}

bool target_is_real(void) { return getenv("WEIR_TEST_REAL_CUDA") != NULL; }

static weir_runtime *open_target(int which) {
  if (which == TARGET_CPU || !target_is_real()) return open_cuda("libcuda.so.1");
  weir_options options = {.struct_size = sizeof options, .plugin_path = plugin_directory()};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  return runtime;
}

void target_open(target *t, int which, uint32_t rows_most, uint32_t vocabulary) {
  memset(t, 0, sizeof *t);
  srand(5);
  weir = weir_get_api(WEIR_ABI_MAJOR);
  t->is_cuda = which != TARGET_CPU;
  if (t->is_cuda && !target_is_real()) {
    set_or_unset("FAKECUDA_SHUFFLE", machines[which].shuffle);
    set_or_unset("FAKECUDA_RESIDENT", machines[which].resident);
    machine(machines[which].devices, NULL);
  }
  t->runtime = open_target(which);
  t->device = open_device(t->runtime, t->is_cuda ? "cuda:0" : "cpu");
  ASSERT_OK(gemma_ops_open(t->device, rows_most, vocabulary, &t->ops));
  ck_assert_uint_eq(t->ops->x_type, t->is_cuda ? WEIR_BF16 : WEIR_F32);
}

void target_close(target *t) {
  t->ops->close(t->ops);
  weir_device_close(t->device);
  weir_close(t->runtime);
  if (t->is_cuda && !target_is_real()) assert_nothing_lives("a test of operations");
}

void *target_put(target *t, const void *bytes, size_t size) {
  char *memory = NULL;
  ASSERT_OK(weir_memory_alloc(t->device, size + MARGIN, (void **)&memory));
  ASSERT_OK(weir_memory_fill(t->device, memory, 0xff, size + MARGIN, NULL));
  if (bytes && size) ASSERT_OK(weir_memory_upload(t->device, memory, bytes, size, NULL));
  ASSERT_OK(weir_synchronize(t->device, NULL));
  return memory;
}

void target_read(target *t, const void *memory, size_t size, void *out) {
  ASSERT_OK(weir_memory_download(t->device, out, memory, size, NULL));
  ASSERT_OK(weir_synchronize(t->device, NULL));
}

void target_take(target *t, void *memory, size_t size, void *out) {
  unsigned char margin[MARGIN];
  if (out) target_read(t, memory, size, out);
  target_read(t, (char *)memory + size, MARGIN, margin);
  for (int i = 0; i < MARGIN; i++) ck_assert_msg(margin[i] == 0xff, "byte %d past the end was written", i);
  weir_memory_free(t->device, memory);
}

double bf16_value(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

double target_x(const target *t, const void *x, size_t i) {
  return t->is_cuda ? bf16_value(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

size_t target_x_size(const target *t) { return t->is_cuda ? 2 : 4; }

bool is_near(double got, double want, bool is_bf16, double slack) {
  if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
  if (isinf(want) || isinf(got)) return want == got;
  int exponent;
  frexp(want, &exponent);
  return fabs(got - want) <= (is_bf16 ? ldexp(1, exponent - 9) : 0) + fabs(want) * 2e-6 + slack;
}

float random_value(void) { return (float)(rand() % 20001 - 10000) / 10000; }

void random_values(float *out, size_t count, float scale) {
  for (size_t i = 0; i < count; i++) out[i] = scale * random_value();
}

// SPDX-License-Identifier: MIT
//
// What ptx/tensor.cuh adds: what it computes, and that its mistakes are found.
#include "selftest.h"

#include <cmath>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
static const bool WITH_ASAN = true;
#else
static const bool WITH_ASAN = false;
#endif

static const uint32_t F16 = 2, BF16 = 3; // as in ptx/device.cuh
static const uint32_t POISON = 0xffffffff;

static float as_float(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static uint32_t as_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

// By the definition of the formats.
static double value_of(uint32_t h, uint32_t type) {
  int fraction_bits = type == F16 ? 10 : 7, bias = type == F16 ? 15 : 127, exponents = type == F16 ? 32 : 256;
  int exponent = (int)(h >> fraction_bits) & (exponents - 1);
  double fraction = h & ((1u << fraction_bits) - 1), hidden = 1 << fraction_bits;
  double value = exponent ? ldexp(hidden + fraction, exponent - bias - fraction_bits)
                          : ldexp(fraction, 1 - bias - fraction_bits);
  if (exponent == exponents - 1) value = fraction != 0 ? NAN : INFINITY;
  return h & 0x8000 ? -value : value;
}

// Numbers of usual size; with `wild`, any bits, and often Inf, NaN, 0 and subnormals.
static uint32_t random_half(uint32_t type, bool wild) {
  uint32_t bits = random_bits();
  if (!wild) {
    uint32_t fraction_bits = type == F16 ? 10 : 7, bias = type == F16 ? 15 : 127;
    return (bits & 0x8000) | (bias - 4 + (bits >> 16) % 8) << fraction_bits | (bits & ((1u << fraction_bits) - 1));
  }
  uint32_t infinity = type == F16 ? 0x7c00 : 0x7f80;
  switch (bits >> 16 & 63) {
  case 0: return infinity | (bits & 0x8000);
  case 1: return bits % 8 ? 0 : infinity | 1;
  case 2: return bits & 0x807f; // below the least normal number
  }
  return type == F16 ? bits % 0x7c00 | (bits & 0x8000) : bits & 0xbfff; // bf16 below 2
}

static void matrices_are_loaded() {
  restart_with({"FAKECUDA_SHUFFLE=2", "FAKECUDA_RESIDENT=3"});
  primary_context context;
  test_kernel k("selftest_load_matrix", 64, {".u64", ".u32", ".u64"});
  std::vector<uint32_t> rows(64);
  for (uint32_t &row : rows) row = random_bits() % 512;
  device_buffer in(rows), out(64 * 8 * 4);
  uint32_t seed = random_bits() & 0xffff;
  CHECK_OK(k.launch(3, 64, 0, nullptr, in.at, seed, out.at));
  std::vector<uint32_t> got = out.read<uint32_t>();
  for (uint32_t t = 0; t < 64; t++)
    for (uint32_t m = 0; m < 4; m++) {
      uint32_t warp = t / 32 * 32, r = t % 32 / 4, c = t % 4;
      auto element = [&](uint32_t row, uint32_t column) {
        return (seed + 8 * rows[warp + 8 * m + row] + column) & 0xffff;
      };
      CHECK(got[8 * t + m] == (element(r, 2 * c) | element(r, 2 * c + 1) << 16));
      CHECK(got[8 * t + 4 + m] == (element(2 * c, r) | element(2 * c + 1, r) << 16));
    }
}

// Each sum against double, in another order.
static void check_products(uint32_t type, bool wild) {
  const uint32_t count = 60;
  std::vector<uint16_t> a(count * 256), b(count * 128);
  std::vector<float> c(count * 128);
  for (uint16_t &h : a) h = (uint16_t)random_half(type, wild);
  for (uint16_t &h : b) h = (uint16_t)random_half(type, wild);
  for (float &f : c) f = (float)value_of(random_half(BF16, wild), BF16);
  device_buffer a_in(a), b_in(b), c_in(c), to(count * 128 * 4);
  test_kernel k("selftest_mma", 32, {".u64", ".u64", ".u64", ".u64", ".u32"});
  CHECK_OK(k.launch(count, 32, 0, nullptr, a_in.at, b_in.at, c_in.at, to.at, type));
  std::vector<float> got = to.read<float>();
  int finite = 0, nan = 0, infinite = 0;
  for (uint32_t i = 0; i < count * 128; i++) {
    double want = c[i], size = fabs(want);
    for (uint32_t j = 16; j--;) {
      double product = value_of(a[i / 8 * 16 + j], type) * value_of(b[i / 128 * 128 + 8 * j + i % 8], type);
      want += product;
      size += fabs(product);
    }
    if (std::isnan(want)) {
      nan++;
      CHECK(as_bits(got[i]) == 0x7fffffff);
    } else if (std::isinf(want)) {
      infinite++;
      CHECK((double)got[i] == want);
    } else {
      finite++;
      CHECK(fabs(got[i] - want) <= fabs(want) * 0x1p-24 + 0x1p-150 + size * 0x1p-48);
    }
  }
  CHECK(finite > 0 && (nan > 0) == wild && (infinite > 0) == wild);
}

static void products_are_summed() {
  restart_with({});
  primary_context context;
  for (uint32_t type : {F16, BF16})
    for (bool wild : {false, true}) check_products(type, wild);
  restart_with({"FAKECUDA_SHUFFLE=7", "FAKECUDA_RESIDENT=2"});
  primary_context again;
  test_kernel many("selftest_many_mma", 64, {".u32", ".u64"});
  device_buffer out(64 * 16);
  CHECK_OK(many.launch(2, 64, 0, nullptr, 300u, out.at));
  CHECK(out.read<float>() == std::vector<float>(256, 4800.0f));
}

// The product of two random matrices, and how many elements of it are wrong, or NaN.
struct gemm_outcome {
  int wrong, nan;
};
static gemm_outcome multiply(uint32_t mistake) {
  const uint32_t m = 41, k = 96;
  primary_context context;
  std::vector<uint16_t> a(m * k), b(k * 16);
  for (uint16_t &h : a) h = (uint16_t)random_half(BF16, false);
  for (uint16_t &h : b) h = (uint16_t)random_half(BF16, false);
  device_buffer a_in(a), b_in(b), to(m * 16 * 4);
  test_kernel kernel("selftest_gemm", 64, {".u64", ".u64", ".u64", ".u32", ".u32", ".u32"});
  CHECK_OK(kernel.launch(2, 64, 2 * 48 * 24 * 2, nullptr, a_in.at, b_in.at, to.at, m, k, mistake));
  std::vector<float> got = to.read<float>();
  gemm_outcome outcome = {0, 0};
  for (uint32_t i = 0; i < m * 16; i++) {
    double want = 0, size = 0;
    for (uint32_t j = 0; j < k; j++) {
      double product = value_of(a[i / 16 * k + j], BF16) * value_of(b[16 * j + i % 16], BF16);
      want += product;
      size += fabs(product);
    }
    outcome.nan += std::isnan(got[i]);
    outcome.wrong += !(fabs(got[i] - want) <= size * 6 * 0x1p-24);
  }
  return outcome;
}

static void copies_feed_products() {
  const uint32_t read_unwaited = 1, read_without_barrier = 2, write_without_barrier = 4;
  for (int seed = 0; seed < 6; seed++) {
    std::string shuffle = "FAKECUDA_SHUFFLE=" + std::to_string(seed);
    restart_with({shuffle, seed % 2 ? "FAKECUDA_RESIDENT=2" : "FAKECUDA_RESIDENT=1"});
    CHECK(multiply(0).wrong == 0);
    CHECK(multiply(read_unwaited).nan == 41 * 16);
    CHECK(multiply(read_without_barrier).nan > 0);
    CHECK(multiply(write_without_barrier).nan > 0);
  }
}

static void copies_are_done_when_waited_for() {
  restart_with({});
  primary_context context;
  test_kernel k("selftest_copies", 32, {".u64", ".u64"});
  std::vector<uint32_t> in(20);
  for (uint32_t i = 0; i < 20; i++) in[i] = 1000 + i;
  device_buffer from(in), to(5 * 20 * 4);
  CHECK_OK(k.launch(1, 32, 80, nullptr, from.at, to.at));
  std::vector<uint32_t> got = to.read<uint32_t>();
  const int done_in[] = {1, 2, 2, 2, 4}; // the first look that shows the copy
  for (int look = 0; look < 5; look++)
    for (int i = 0; i < 20; i++) {
      uint32_t copied = i == 7 ? 77 : i / 4 == 3 ? 0 : in[(size_t)i];
      CHECK(got[(size_t)(20 * look + i)] == (look >= done_in[i / 4] ? copied : POISON));
    }
}

// Of all 16-bit numbers none is nearer to x, and none that is even is as near.
static void check_rounded(float x, uint32_t h, uint32_t type) {
  if (std::isnan(x)) {
    CHECK(h == 0x7fff);
    return;
  }
  CHECK(h >> 15 == as_bits(x) >> 31);
  uint32_t infinity = type == F16 ? 0x7c00 : 0x7f80, magnitude = h & 0x7fff;
  double past_largest = 2 * value_of(infinity - 1, type) - value_of(infinity - 2, type);
  auto distance = [&](uint32_t to) {
    return fabs((to == infinity ? past_largest : value_of(to, type)) - fmin(fabs((double)x), past_largest));
  };
  CHECK(magnitude <= infinity);
  double mine = distance(magnitude);
  for (uint32_t other : {magnitude - 1, magnitude + 1})
    if (other <= infinity) CHECK(mine < distance(other) || (mine == distance(other) && h % 2 == 0));
}

static void arithmetic_is_as_specified() {
  restart_with({});
  primary_context context;
  std::vector<float> in;
  const uint32_t special[] = {0,          0x80000000, 1,          0x807fffff, 0x800000,   0x3f800000, 0xbf800000,
                              0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xff800001, 0x477fefff, 0x477ff000,
                              0x33000000, 0x33000001, 0x387fffff, 0x7f7f7fff, 0x7f7f8000, 0x3f808000, 0x3f818000,
                              0x3f808001, 0xc2fc0000, 0xc2fc0001, 0xc3150000, 0x42ffffff, 0x43000000, 0x00008000};
  for (uint32_t a : special)
    for (uint32_t b : special) in.insert(in.end(), {as_float(a), as_float(b)});
  for (int i = 0; i < 20000; i++) in.insert(in.end(), {as_float(random_bits()), as_float(random_bits())});
  for (int i = 0; i < 20000; i++) {
    float x = (float)((int)random_bits() >> 8) * 0x1p-15f; // +-256
    in.insert(in.end(), {x, x * 0.03f});
  }
  uint32_t n = (uint32_t)in.size() / 2;
  device_buffer from(in), to((size_t)n * 16);
  test_kernel k("selftest_tensor_arithmetic", 32, {".u64", ".u64", ".u32"});
  CHECK_OK(k.launch(1, 32, 0, nullptr, from.at, to.at, n));
  std::vector<uint32_t> out = to.read<uint32_t>();
  for (uint32_t i = 0; i < n; i++) {
    float a = in[2 * i], b = in[2 * i + 1];
    const uint32_t *got = &out[4 * i];
    for (uint32_t type : {BF16, F16}) {
      check_rounded(a, got[type == F16] & 0xffff, type);
      check_rounded(b, got[type == F16] >> 16, type);
    }
    double power = exp2((double)a);
    float two_to_a = as_float(got[2]);
    if (std::isnan(a)) CHECK(std::isnan(two_to_a));
    else if (power < 0x1p-126 * (1 - 0x1p-25)) CHECK(got[2] == 0);
    else if (power >= 0x1p128) CHECK(std::isinf(two_to_a) && two_to_a > 0);
    else CHECK(fabs(two_to_a - power) <= 0x1p-22 * power);
    float larger = as_float(got[3]);
    if (std::isnan(a)) CHECK(std::isnan(b) ? std::isnan(larger) : got[3] == as_bits(b));
    else if (std::isnan(b) || a > b) CHECK(got[3] == as_bits(a));
    else if (a < b) CHECK(got[3] == as_bits(b));
    else CHECK(larger == a && std::signbit(larger) == (std::signbit(a) && std::signbit(b)));
  }
}

static void shared_memory_is_in_pieces() {
  const uint32_t most = 227 * 1024;
  restart_with({"FAKECUDA_SHUFFLE=5", "FAKECUDA_RESIDENT=3"});
  primary_context context;
  test_kernel k("selftest_pieces", 96, {".u64", ".u32", ".u32"});
  auto run = [&](uint32_t dynamic_bytes, uint32_t with_static) {
    device_buffer out(std::vector<uint32_t>(12));
    void *parameters[] = {&out.at, &dynamic_bytes, &with_static};
    CHECK_OK(cu.cuLaunchKernel(k.function, 2, 3, 2, 96, 1, 1, dynamic_bytes, nullptr, parameters, nullptr));
    CHECK(out.read<uint32_t>() == std::vector<uint32_t>(12, 96));
  };
  CHECK(cu.cuFuncSetAttribute(k.function, FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)most + 1) != CUDA_SUCCESS);
  CHECK_OK(cu.cuFuncSetAttribute(k.function, FUNCTION_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)most));
  run(16, 1);
  run(1024, 1);
  run(most, 0);
  run(220 * 1024, 1);
}

void test_tensor() {
  matrices_are_loaded();
  products_are_summed();
  copies_feed_products();
  copies_are_done_when_waited_for();
  arithmetic_is_as_specified();
  shared_memory_is_in_pieces();
}

// ---- Mistakes -----------------------------------------------------------------------

// Runs that one of selftest_tensor_mistakes; none where `words` are none.
static void found(uint32_t which, CUresult code, const std::vector<const char *> &words) {
  for (const char *resident : {"FAKECUDA_RESIDENT=1", "FAKECUDA_RESIDENT=4"}) {
    restart_with({resident});
    primary_context context;
    device_buffer global(std::vector<uint32_t>(1024, random_bits() % 1000));
    test_kernel k("selftest_tensor_mistakes", 64, {".u64", ".u32"});
    CHECK_CODE(k.launch(6, 64, 0, nullptr, global.at, which), code);
    CHECK(!*cu.message() == words.empty());
    for (const char *w : words) CHECK(message_has(w));
    cu.reset();
    CHECK_OK(k.launch(6, 64, 0, nullptr, global.at, 1000u)); // none, and nothing is left of the one before
  }
}

static void overruns_end_the_process() {
  if (!WITH_ASAN) return;
  restart_with({});
  auto copy_from = [](uint32_t at, uint32_t bytes) {
    return in_child([=] {
      restart_with({});
      primary_context context;
      device_buffer in(72);
      test_kernel k("selftest_copy_out_of_bounds", 32, {".u64", ".u32", ".u32"});
      CHECK_OK(k.launch(1, 32, 0, nullptr, in.at, at, bytes));
    });
  };
  CHECK(copy_from(48, 16).status == 0 && copy_from(64, 0).status == 0 && copy_from(1 << 20, 0).status == 0);
  for (uint32_t at : {64u, 80u}) { // the last half beyond, all of it
    child_result past = copy_from(at, 16);
    CHECK(past.status != 0 && past.errors.find("heap-buffer-overflow") != std::string::npos);
    CHECK(past.errors.find("selftest_copy_out_of_bounds") != std::string::npos);
  }
}

void test_tensor_mistakes() {
  const CUresult failed = CUDA_ERROR_LAUNCH_FAILED, illegal = CUDA_ERROR_ILLEGAL_ADDRESS,
                 misaligned = CUDA_ERROR_MISALIGNED_ADDRESS;
  const char *copy = "copy_async16 at selftest_tensor_kernels.cu:", *unaligned = "is not a multiple of 16";
  const char *outside = "are not in the block's shared memory";
  found(0, misaligned, {copy, unaligned, "kernel selftest_tensor_mistakes, block (0,0,0), thread (1,0,0): "});
  found(1, misaligned, {copy, unaligned});
  found(2, misaligned, {copy, unaligned});
  found(3, illegal, {copy, "the 16 bytes at", outside, "thread (0,0,0)"});
  found(4, illegal, {copy, outside, "thread (1,0,0)"});
  found(5, illegal, {copy, "is in shared memory"});
  found(6, failed, {copy, "copies 16 bytes or, with 0, zeros, but was asked for 8"});
  found(7, misaligned, {"load_matrix4 at", unaligned, "thread (1,0,0)"});
  found(8, illegal, {"load_matrix4 at", outside, "thread (20,0,0)"});
  found(9, illegal, {"load_matrix4_transposed at", outside});
  found(10, failed, {"mma_bf16 at", "waits for lane 31, which has ended"});
  found(11, failed, {"mma_bf16 at", "waits for lane 7, which waits in mma_bf16 at"});
  found(12, failed, {"load_matrix4 at", "waits for lane 7, which waits in mma_f16 at"});
  found(13, failed, {copy, "copies still in flight when the thread ended", "thread (40,0,0)"});
  found(14, failed, {copy, "copies still in flight when the thread ended", "thread (41,0,0)"});
  found(15, failed, {copy, "the bytes it copies to were written before it was done", "thread (1,0,0)"});
  found(16, failed, {copy, "the bytes it copies to were written before it was done"});
  found(1000, CUDA_SUCCESS, {});
  overruns_end_the_process();
}

// SPDX-License-Identifier: MIT
//
// Kernels: what right ones compute, and that wrong ones are found.
#include "selftest.h"

#include <cmath>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
static const bool WITH_ASAN = true;
#else
static const bool WITH_ASAN = false;
#endif

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
static bool same_number(uint32_t a, uint32_t b) {
  bool both_nan = std::isnan(as_float(a)) && std::isnan(as_float(b));
  return a == b || both_nan;
}

static void primitives_do_what_they_say() {
  restart_with({});
  primary_context context;
  test_kernel k("selftest_primitives", 64, {".u64", ".u64"});
  device_buffer out(13 * 64 * 4), counters(std::vector<uint32_t>{100, 0, 5, 0});
  CHECK_OK(k.launch(1, 64, 0, nullptr, out.at, counters.at));
  std::vector<uint32_t> got = out.read<uint32_t>(), left = counters.read<uint32_t>();
  std::vector<int> seen(64);
  for (uint32_t t = 0; t < 64; t++) {
    auto at = [&](int i) { return got[(size_t)i * 64 + t]; };
    uint32_t lane = t % 32, warp = t - lane, ballot = 0;
    for (uint32_t i = 0; i < 32; i++) ballot |= (uint32_t)((warp + i) % 3 == 0) << i;
    CHECK(at(0) == (t ^ 5) * 10 && at(1) == 0u - (t ^ 31));
    CHECK(at(2) == as_bits((float)(t ^ 16) + 0.5f));
    CHECK(at(3) == (lane + 3 < 32 ? t + 3 : t) && at(4) == warp + 7);
    CHECK(at(5) == ballot && at(6) == (t >= 32) && at(7) == (t < 32));
    CHECK(at(8) >= 100 && at(8) < 228 && at(8) % 2 == 0);
    seen[(at(8) - 100) / 2]++;
    CHECK(at(9) < 10 && (int)at(10) <= 5 && (int)at(10) > 5 - 64);
    CHECK(at(11) == 2 - t % 2 && at(12) == (t ^ 1));
  }
  CHECK(seen == std::vector<int>(64, 1));
  CHECK(left[0] == 228 && left[1] == 64 % 10 && (int)left[2] == 5 - 64 && as_float(left[3]) == 16.0f);
}

static void arithmetic_is_exact() {
  restart_with({});
  primary_context context;
  // First a case in which a contracted multiply and add would show.
  float third = 1.0f / 3.0f;
  volatile float square = third * third;
  std::vector<uint32_t> in = {as_bits(third), as_bits(third), as_bits(-square)};
  const uint32_t special[] = {0,          0x80000000, 1,          0x7fffff,   0x800000,   0x3f800000, 0xbf800000,
                              0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x477fe000, 0x477fefff,
                              0x477ff000, 0x33000000, 0x33000001, 0x387fffff, 0x38800000, 0x4effffff, 0x4f000000,
                              0xcf000000, 0xcf000001, 0x3f000000, 0x3fc00000, 0x40200000, 0x387fe000, 0x387ff000};
  for (uint32_t a : special)
    for (uint32_t b : special)
      for (uint32_t c : {a, b ^ 0x80000000u, random_bits()}) in.insert(in.end(), {a, b, c});
  for (uint32_t h = 0; h < 65536; h++) in.insert(in.end(), {h | random_bits() << 16, random_bits(), random_bits()});
  uint32_t n = (uint32_t)in.size() / 3;
  device_buffer from(in), to((size_t)n * 32);
  test_kernel k("selftest_arithmetic", 32, {".u64", ".u64", ".u32"});
  CHECK_OK(k.launch(1, 32, 0, nullptr, from.at, to.at, n));
  std::vector<uint32_t> out = to.read<uint32_t>();
  for (uint32_t i = 0; i < n; i++) {
    uint32_t a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2], *got = &out[8 * i];
    float fa = as_float(a), fb = as_float(b), fc = as_float(c);
    volatile float product = fa * fb;
    CHECK(same_number(got[0], as_bits(fmaf(fa, fb, fc))));
    CHECK(same_number(got[1], as_bits(product + fc)));
    CHECK(same_number(got[2], as_bits(fa / fb)));
    int64_t rounded = std::isnan(fa) ? 0 : fa > 3e9f ? INT64_MAX : fa < -3e9f ? INT64_MIN : llrintf(fa);
    CHECK((int)got[3] == (rounded > INT32_MAX ? INT32_MAX : rounded < INT32_MIN ? INT32_MIN : (int)rounded));
    // f16 by its definition, in double.
    uint32_t exponent = a >> 10 & 31, fraction = a & 0x3ff;
    double half = exponent ? ldexp(1024 + fraction, (int)exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) half = fraction ? NAN : INFINITY;
    if (a & 0x8000) half = -half;
    CHECK(same_number(got[4], as_bits((float)half)));
    // The nearest f16, even on a tie: no other is nearer.
    double x = fabs((double)fa);
    uint16_t h = (uint16_t)(got[5] & 0x7fff);
    auto value = [](uint16_t u) { return u >> 10 ? ldexp(1024 + (u & 0x3ff), (u >> 10) - 25) : ldexp(u, -24); };
    CHECK(std::isnan(fa) ? got[5] == 0x7fff : (got[5] >> 15) == (a >> 31));
    if (std::isnan(fa)) continue;
    if (x >= 65520) CHECK(h == 0x7c00);
    else {
      double mine = fabs(value(h) - x), above = fabs(value((uint16_t)(h + 1)) - x);
      double below = h ? fabs(value((uint16_t)(h - 1)) - x) : INFINITY;
      CHECK(h <= 0x7bff && mine <= above && mine <= below && (h % 2 == 0 || (mine < above && mine < below)));
    }
    int64_t us = (int)c, ss = (int)c;
    for (int j = 0; j < 32; j += 8) {
      us += (int64_t)(uint8_t)(a >> j) * (int8_t)(b >> j);
      ss += (int64_t)(int8_t)(a >> j) * (int8_t)(b >> j);
    }
    CHECK(got[6] == (uint32_t)us && got[7] == (uint32_t)ss);
  }
  CHECK(out[0] != 0 && out[1] == 0);
}

static void positions_cover_the_grid() {
  restart_with({"FAKECUDA_SHUFFLE=3", "FAKECUDA_RESIDENT=5"});
  primary_context context;
  test_kernel k("selftest_position", 64, {".u64"});
  device_buffer out(24 * 40 * 4);
  void *parameters[] = {&out.at};
  CHECK_OK(cu.cuLaunchKernel(k.function, 2, 3, 4, 5, 4, 2, 0, nullptr, parameters, nullptr));
  std::vector<uint32_t> got = out.read<uint32_t>();
  for (uint32_t i = 0; i < got.size(); i++) CHECK(got[i] == (i / 40 << 16 | i % 40));
}

static void shared_memory_is_of_the_block() {
  for (const char *resident : {"FAKECUDA_RESIDENT=1", "FAKECUDA_RESIDENT=3"}) {
    restart_with({resident, "FAKECUDA_SHUFFLE=11"});
    primary_context context;
    test_kernel k("selftest_shared", 256, {".u64", ".u32"});
    device_buffer out(7 * 16);
    const uint32_t words = 100;
    CHECK_OK(k.launch(7, 256, words * 4, nullptr, out.at, words));
    std::vector<uint32_t> got = out.read<uint32_t>();
    for (size_t b = 0; b < 7; b++) {
      CHECK(got[4 * b] == 0xa5a5a5a5 && got[4 * b + 1] == 0xa5a5a5a5 && got[4 * b + 2] == 0);
      CHECK(got[4 * b + 3] == words * 256 - words * (words - 1) / 2);
    }
  }
}

// Sums 1000 ones with the last block adding up; the answer, whatever the order.
static uint32_t sum_by_last_block(uint32_t careless) {
  primary_context context;
  test_kernel k("selftest_last_block", 128, {".u64", ".u32", ".u64", ".u64", ".u64", ".u32"});
  const uint32_t n = 1000;
  device_buffer in(std::vector<uint32_t>(n, 1)), partial(std::vector<uint32_t>(32, 0)),
      done(std::vector<uint32_t>(1, 0)), out(4);
  CHECK_OK(k.launch(8, 128, 0, nullptr, in.at, n, partial.at, done.at, out.at, careless));
  CHECK(done.read<uint32_t>()[0] == 0);
  return out.read<uint32_t>()[0];
}

static void interleaving_shows_mistakes_between_blocks() {
  restart_with({});
  CHECK(sum_by_last_block(0) == 1000);
  int wrong = 0;
  for (int seed = 1; seed <= 20; seed++) {
    restart_with({"FAKECUDA_SHUFFLE=" + std::to_string(seed), "FAKECUDA_RESIDENT=4"});
    CHECK(sum_by_last_block(0) == 1000);
    wrong += sum_by_last_block(1) != 1000;
  }
  CHECK(wrong > 0);
  auto order_with = [](const std::vector<std::string> &variables) {
    restart_with(variables);
    primary_context context;
    test_kernel k("selftest_order", 32, {".u64", ".u64"});
    device_buffer order(16 * 4), counter(std::vector<uint32_t>(1, 0));
    CHECK_OK(k.launch(16, 32, 0, nullptr, order.at, counter.at));
    return order.read<uint32_t>();
  };
  std::vector<uint32_t> plain = order_with({}), mixed = order_with({"FAKECUDA_SHUFFLE=5"});
  std::vector<int> seen(16);
  for (uint32_t i = 0; i < 16; i++) CHECK(plain[i] == i && mixed[i] < 16 && !seen[mixed[i]]++);
  CHECK(mixed != plain);
  CHECK(mixed == order_with({"FAKECUDA_SHUFFLE=5"}));
}

void test_emulation() {
  primitives_do_what_they_say();
  arithmetic_is_exact();
  positions_cover_the_grid();
  shared_memory_is_of_the_block();
  interleaving_shows_mistakes_between_blocks();
}

// ---- Mistakes -----------------------------------------------------------------------

// The launch fails with the code and these words, and so does what follows, until a reset.
static void found(const char *kernel, unsigned threads, CUresult code, const std::vector<const char *> &words) {
  for (const char *resident : {"FAKECUDA_RESIDENT=1", "FAKECUDA_RESIDENT=4"}) {
    restart_with({resident});
    primary_context context;
    device_buffer out(1024);
    test_kernel k(kernel, threads, {".u64"});
    CHECK_CODE(k.launch(6, threads, 0, nullptr, out.at), code);
    CHECK(message_has(kernel) && message_has("block (0,0,0)"));
    for (const char *w : words) CHECK(message_has(w));
    CHECK_CODE(cu.cuCtxSynchronize(), code);
    CUdeviceptr more;
    CHECK_CODE(cu.cuMemAlloc_v2(&more, 16), code);
    cu.reset();
    CHECK(!*cu.message());
    CHECK_CODE(k.launch(1, threads, 0, nullptr, out.at), code);
    cu.reset();
    test_kernel right("selftest_ended_before_barrier", 64, {".u64"});
    CHECK_OK(right.launch(4, 64, 0, nullptr, out.at));
  }
}

// Reads beyond memory: AddressSanitizer ends the child.
static void overruns_end_the_process() {
  if (!WITH_ASAN) {
    printf("mistakes: not built with AddressSanitizer, so reads out of bounds are not tried\n");
    return;
  }
  restart_with({});
  auto read_at = [](uint32_t n) {
    return in_child([=] {
      restart_with({});
      primary_context context;
      device_buffer in(std::vector<uint32_t>(25, 7)), out(4);
      test_kernel k("selftest_out_of_bounds", 32, {".u64", ".u32", ".u64"});
      CHECK_OK(k.launch(1, 32, 0, nullptr, in.at, n, out.at));
      CHECK(out.read<uint32_t>()[0] == 7);
    });
  };
  CHECK(read_at(24).status == 0);
  for (uint32_t n : {25u, 0xffffffffu}) { // one past the end, far away
    child_result past = read_at(n);
    CHECK(past.status != 0 && past.errors.find("AddressSanitizer") != std::string::npos);
    CHECK(past.errors.find("selftest_out_of_bounds") != std::string::npos);
  }
  CHECK(read_at(25).errors.find("heap-buffer-overflow") != std::string::npos);
  auto read_shared = [](uint32_t words) {
    return in_child([=] {
      restart_with({});
      primary_context context;
      device_buffer out(4);
      test_kernel k("selftest_shared_out_of_bounds", 32, {".u64", ".u32"});
      CHECK_OK(k.launch(1, 32, 40, nullptr, out.at, words));
    });
  };
  CHECK(read_shared(9).status == 0);
  CHECK(read_shared(10).errors.find("heap-buffer-overflow") != std::string::npos);
  child_result freed = in_child([] {
    restart_with({});
    primary_context context;
    CUdeviceptr in;
    device_buffer out(4);
    CHECK_OK(cu.cuMemAlloc_v2(&in, 16));
    CHECK_OK(cu.cuMemFree_v2(in));
    test_kernel k("selftest_out_of_bounds", 32, {".u64", ".u32", ".u64"});
    k.launch(1, 32, 0, nullptr, in, 0u, out.at);
  });
  CHECK(freed.errors.find("heap-use-after-free") != std::string::npos);
}

static CUresult launch_programmatically(const char *kernel) {
  primary_context context;
  device_buffer out(128);
  test_kernel k(kernel, 32, {".u64"});
  CUlaunchAttribute attribute = {LAUNCH_PROGRAMMATIC_STREAM_SERIALIZATION, {0}, {{0}}};
  attribute.value.number = 1;
  CUlaunchConfig config = {{2, 1, 1}, {32, 1, 1}, 0, nullptr, &attribute, 1};
  void *parameters[] = {&out.at};
  CUresult result = cu.cuLaunchKernelEx(&config, k.function, parameters, nullptr);
  fakecuda_launch last;
  cu.last_launch(&last);
  CHECK(last.programmatic == 1);
  return result;
}

void test_mistakes() {
  const CUresult failed = CUDA_ERROR_LAUNCH_FAILED;
  found("selftest_half_warp_shuffle", 64, failed,
        {"shuffle_xor at selftest_kernels.cu:", "waits for lane 16, which waits for the block in block_barrier"});
  found("selftest_shuffle_after_end", 64, failed, {"waits for lane 9, which has ended", "thread (0,0,0)"});
  found("selftest_two_shuffles", 64, failed, {"waits for lane 1, which waits in shuffle_xor"});
  found("selftest_missed_barrier", 64, failed, {"thread (32,0,0)", "waits for lane 1, which has ended"});
  found("selftest_two_barriers", 64, failed, {"waits for the block in block_barrier", "while others do in"});
  found("selftest_global_load_of_shared", 32, CUDA_ERROR_ILLEGAL_ADDRESS,
        {"load_shared_by_all at", "is in shared memory"});
  restart_with({});
  {
    primary_context context;
    device_buffer in(512), out(128);
    test_kernel k("selftest_misaligned", 32, {".u64", ".u64"});
    CHECK_CODE(k.launch(1, 32, 0, nullptr, in.at, out.at), CUDA_ERROR_MISALIGNED_ADDRESS);
    CHECK(message_has("thread (1,0,0): load_weights at selftest_kernels.cu:") && message_has("not a multiple of 16"));
    cu.reset();
    // A warp of 8 lanes, too.
    test_kernel partial("selftest_shuffle_after_end", 64, {".u64"});
    CHECK_CODE(partial.launch(1, 8, 0, nullptr, out.at), failed);
    CHECK(message_has("waits for lane 8, which the block does not have"));
  }
  CHECK_CODE(launch_programmatically("selftest_waits"), CUDA_SUCCESS);
  CHECK_CODE(launch_programmatically("selftest_never_waits"), failed);
  CHECK(message_has("no thread of the block waited"));
  overruns_end_the_process();
}

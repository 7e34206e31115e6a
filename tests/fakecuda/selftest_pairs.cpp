// SPDX-License-Identifier: MIT
//
// Blocks in pairs, and products of a warpgroup.
#include "selftest.h"

static std::string pair_text(const char *name, unsigned threads, const std::vector<std::string> &parameters,
                             const char *cluster = "2, 1, 1") {
  std::string text = entry_text(name, parameters, threads);
  text.insert(text.find("{\n"), std::string(".explicitcluster\n.reqnctapercluster ") + cluster + "\n");
  return ptx_text(text, "8.1", "sm_90a");
}

static CUresult exchange(unsigned blocks, uint32_t exchanges, uint32_t mistake) {
  primary_context context;
  device_buffer out(blocks * 64 * 4);
  loaded_kernel k(pair_text("selftest_pair", 64, {".u64", ".u32", ".u32"}), "selftest_pair");
  CUresult result = k.launch(blocks, 64, 2048, nullptr, out.at, exchanges, mistake);
  if (result) return result;
  std::vector<uint32_t> got = out.read<uint32_t>();
  for (uint32_t i = 0; i < blocks * 64; i++) {
    uint32_t want = 0;
    for (uint32_t e = 0; e < exchanges; e++) want += 100 * (i / 64 ^ 1) + i % 64 + e;
    CHECK(got[i] == want);
  }
  return CUDA_SUCCESS;
}

static void pairs_tell_each_other() {
  for (int seed = 0; seed < 6; seed++) {
    restart_with({"FAKECUDA_SHUFFLE=" + std::to_string(seed), "FAKECUDA_RESIDENT=" + std::to_string(1 + seed % 5)});
    CHECK_OK(exchange(2, 1, 0));
    CHECK_OK(exchange(10, 7, 0));
    CHECK_CODE(exchange(3, 1, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK(message_has("grid 3 is not a multiple of .reqnctapercluster"));
  }
  restart_with({});
  primary_context context;
  device_buffer out(1024);
  loaded_kernel k(pair_text("selftest_pair", 64, {".u64", ".u32", ".u32"}, "4, 1, 1"), "selftest_pair");
  CHECK_CODE(k.launch(4, 64, 2048, nullptr, out.at, 1u, 0u), CUDA_ERROR_LAUNCH_FAILED);
  CHECK(message_has("the PTX has clusters of 4 blocks, the source of 2"));
}

static void mistakes_are_found() {
  const struct {
    uint32_t mistake;
    const char *word, *other;
  } rows[] = {{1, "in_block at", "block 1 of the cluster has ended"},
              {2, "pair_wait at", "waits without having arrived"},
              {3, "pair_arrive at", "arrives twice without waiting"},
              {4, "barrier_wait_for_pair at", "waits for 0 of the 1 arrivals at its barrier and 16 bytes"}};
  for (const auto &row : rows) {
    restart_with({});
    CHECK_CODE(exchange(2, 3, row.mistake), CUDA_ERROR_LAUNCH_FAILED);
    CHECK(message_has(row.word) && message_has(row.other));
  }
  restart_with({"FAKECUDA_RESIDENT=4"}); // the pair that waits is not the one that ran last
  CHECK_CODE(exchange(4, 3, 4), CUDA_ERROR_LAUNCH_FAILED);
  CHECK(message_has(rows[3].word) && message_has(rows[3].other));
}

// Small integers, every product and sum of which is exact.
static void products_are_right() {
  restart_with({});
  primary_context context;
  const uint16_t bf16[] = {0, 0x3f80, 0x4000, 0x4040, 0xbf80}, f16[] = {0, 0x3c00, 0x4000, 0x4200, 0xbc00};
  const int value[] = {0, 1, 2, 3, -1};
  for (uint32_t is_bf16 = 0; is_bf16 < 2; is_bf16++) {
    std::vector<uint16_t> a(64 * 64), b(64 * 256);
    std::vector<int> wide_a(a.size()), wide_b(b.size());
    auto fill = [&](std::vector<uint16_t> &halves, std::vector<int> &wide) {
      for (size_t i = 0; i < halves.size(); i++) {
        uint32_t n = random_bits() % 5;
        halves[i] = (is_bf16 ? bf16 : f16)[n];
        wide[i] = value[n];
      }
    };
    fill(a, wide_a);
    fill(b, wide_b);
    device_buffer from_a(a), from_b(b), dots(64 * 64 * 4), sums(64 * 256 * 4);
    loaded_kernel k(pair_text("selftest_products", 128, {".u64", ".u64", ".u64", ".u64", ".u32"}), "selftest_products");
    CHECK_OK(k.launch(2, 128, 40960, nullptr, from_a.at, from_b.at, dots.at, sums.at, is_bf16));
    std::vector<float> got_dots = dots.read<float>(), got_sums = sums.read<float>();
    for (size_t i = 0; i < 64 * 64; i++) {
      int want = 0;
      for (size_t d = 0; d < 64; d++) want += wide_a[i / 64 * 64 + d] * wide_b[i % 64 * 256 + d];
      CHECK(got_dots[i] == (float)want);
    }
    for (size_t i = 0; i < 64 * 256; i++) {
      int want = 0;
      for (size_t slot = 0; slot < 16; slot++) want += wide_a[i / 256 * 64 + slot] * wide_b[slot * 256 + i % 256];
      CHECK(got_sums[i] == (float)want);
    }
  }
}

void test_pairs() {
  pairs_tell_each_other();
  mistakes_are_found();
  products_are_right();
}

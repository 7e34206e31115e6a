// SPDX-License-Identifier: MIT
//
// Barriers in shared memory and of the first threads: what they hold back, and that
// their mistakes are found.
#include "selftest.h"

static void phases_follow_each_other() {
  restart_with({});
  primary_context context;
  test_kernel k("selftest_phases", 32, {".u64"});
  device_buffer out(4 * 32 * 4);
  CHECK_OK(k.launch(1, 32, 0, nullptr, out.at));
  std::vector<uint32_t> got = out.read<uint32_t>();
  for (uint32_t i = 0; i < 128; i++) CHECK(got[i] == 3 * (i / 32 + 1));
}

// How many of the sums are wrong; -1 when the launch fails.
enum : uint32_t { NO_MISTAKE = 0, COPIES_UNWAITED = 1, OVERWRITES = 2, ADDS_UNWAITED = 4 }; // as the kernel has them
static int add_up(uint32_t tiles, uint32_t buffers, uint32_t mistake) {
  const uint32_t blocks = 3;
  primary_context context;
  std::vector<uint32_t> in(blocks * tiles * 64);
  for (uint32_t &word : in) word = random_bits() % 1000;
  device_buffer from(in), to(blocks * 64 * 4);
  test_kernel k("selftest_ring", 96, {".u64", ".u64", ".u32", ".u32", ".u32"});
  if (k.launch(blocks, 96, buffers * 256, nullptr, from.at, to.at, tiles, buffers, mistake)) {
    CHECK_CODE(cu.cuCtxSynchronize(), CUDA_ERROR_LAUNCH_FAILED);
    return -1;
  }
  std::vector<uint32_t> got = to.read<uint32_t>();
  int wrong = 0;
  for (uint32_t i = 0; i < blocks * 64; i++) {
    uint32_t want = 0;
    for (uint32_t tile = 0; tile < tiles; tile++) want += in[i / 64 * tiles * 64 + tile * 64 + (i + 32) % 64];
    wrong += got[i] != want;
  }
  return wrong;
}

static void ring_hands_tiles_over() {
  for (int seed = 0; seed < 8; seed++) {
    std::vector<std::string> order = {"FAKECUDA_SHUFFLE=" + std::to_string(seed),
                                      seed % 2 ? "FAKECUDA_RESIDENT=2" : "FAKECUDA_RESIDENT=1"};
    restart_with(order);
    for (uint32_t buffers : {1u, 2u, 3u, 4u}) CHECK(add_up(11, buffers, NO_MISTAKE) == 0);
    CHECK(add_up(4, 4, COPIES_UNWAITED) == 3 * 64);
    CHECK(add_up(11, 2, OVERWRITES) == -1);
    CHECK(message_has("copy_async16 at") && message_has("the bytes it copies to were written before it was done"));
    restart_with(order);
    CHECK(add_up(4, 4, ADDS_UNWAITED) == -1);
    CHECK(message_has("copies still in flight when the block ended") || message_has("barrier_wait at"));
  }
}

// Runs one of selftest_barrier_mistakes, and one that is none.
static void found(uint32_t which, CUresult code, const std::vector<const char *> &words) {
  for (const char *resident : {"FAKECUDA_RESIDENT=1", "FAKECUDA_RESIDENT=4"}) {
    restart_with({resident});
    primary_context context;
    std::vector<uint32_t> in(1024);
    for (uint32_t &word : in) word = random_bits();
    device_buffer global(in);
    test_kernel k("selftest_barrier_mistakes", 64, {".u64", ".u32"});
    CHECK_CODE(k.launch(6, 64, 0, nullptr, global.at, which), code);
    for (const char *w : words) CHECK(message_has(w));
    cu.reset();
    CHECK_OK(k.launch(6, 64, 0, nullptr, global.at, 1000u));
    std::vector<uint32_t> got = global.read<uint32_t>();
    for (uint32_t t = 33; t < 64; t++) CHECK(got[512 + t] == in[4 * (t - 32)]);
  }
}

void test_barriers() {
  const CUresult failed = CUDA_ERROR_LAUNCH_FAILED, illegal = CUDA_ERROR_ILLEGAL_ADDRESS;
  phases_follow_each_other();
  ring_hands_tiles_over();
  found(0, failed, {"barrier_arrive at selftest_tensor_kernels.cu:", "is no barrier; barrier_init"});
  found(1, failed, {"barrier_init at", "is a barrier already"});
  found(2, failed, {"barrier_init at", "0 arrivals; a barrier takes 1 to 1048575"});
  found(3, CUDA_ERROR_MISALIGNED_ADDRESS, {"barrier_init at", "is not a multiple of 8"});
  found(4, illegal, {"barrier_init at", "are not in the block's shared memory"});
  found(5, illegal, {"barrier_init at", "are not in the block's shared memory"});
  found(6, failed, {"barrier_wait at", "is no barrier"});
  found(7, failed, {"barrier_wait at", "parity 2 is not 0 or 1"});
  found(8, failed, {"barrier_wait at", "waits for 2 of the 33 arrivals at its barrier"});
  found(9, failed, {"warp_barrier at", "waits for lane 3, which waits in barrier_wait at"});
  found(10, failed, {"threads_barrier at", "barrier 0; there are 1 to 15"});
  found(11, failed, {"threads_barrier at", "barrier 16; there are 1 to 15"});
  found(12, failed, {"threads_barrier at", "40 threads are not whole warps of the block"});
  found(13, failed, {"threads_barrier at", "96 threads are not whole warps of the block"});
  found(14, failed, {"threads_barrier at", "is for the first 32 threads, and came to number"});
  found(15, failed, {"threads_barrier at", "waits for 14 of 64 threads"});
  found(16, failed, {"threads_barrier at", "64 threads wait at barrier 2 while others do in threads_barrier at"});
  found(17, failed, {"threads_barrier at", "waits for 32 of 64 threads"});
  found(18, failed, {"thread (5,0,0)", "copy_async16 at", "copies still in flight when the block ended"});
  found(19, failed, {"copy_async16 at", "copies still in flight when the thread ended"});
  found(20, failed, {"copy_async16 at", "the bytes it copies to were written before it was done"});
}

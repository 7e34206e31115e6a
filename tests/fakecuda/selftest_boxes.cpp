// SPDX-License-Identifier: MIT
//
// Tensor maps, and boxes of a tensor copied to shared memory.
#include "selftest.h"

#include "../../ptx/tensor_map.h"

// 3 heads of 20 slots of 128 elements, 160 apart.
static const uint64_t SIZE[5] = {64, 20, 2, 3, 1}, STRIDE[4] = {320, 128, 6400, 19200};
static const uint32_t BOX[5] = {64, 8, 2, 1, 1}, EVERY[5] = {1, 1, 1, 1, 1};

static std::string box_text() {
  return ptx_text(".visible .entry selftest_box(\n.param .align 64 .b8 selftest_box_param_0[128],\n.param .u32 "
                  "selftest_box_param_1,\n.param .u32 selftest_box_param_2,\n.param .u64 selftest_box_param_3,\n.param "
                  ".u32 selftest_box_param_4\n)\n.maxntid 32, 1, 1\n{\nret;\n}\n",
                  "8.0", "sm_90");
}

static CUresult run(CUdeviceptr tensor, uint32_t slot, uint32_t head, uint32_t mistake, std::vector<uint16_t> *out_got) {
  tensor_map map = {};
  CHECK_OK(cu.cuTensorMapEncodeTiled(&map, 1, 5, (void *)(uintptr_t)tensor, SIZE, STRIDE, BOX, EVERY, 0, 3, 3, 0));
  device_buffer out(2048);
  loaded_kernel k(box_text(), "selftest_box");
  CUresult result = k.launch(1, 32, 8192, nullptr, map, slot, head, out.at, mistake);
  if (!result) *out_got = out.read<uint16_t>();
  return result;
}

static void boxes_are_copied() {
  restart_with({});
  primary_context context;
  std::vector<uint16_t> tensor(3 * 3200);
  for (uint16_t &element : tensor) element = (uint16_t)random_bits();
  device_buffer in(tensor);
  for (uint32_t head = 0; head < 3; head++)
    for (uint32_t slot : {0u, 5u, 12u, 15u, 20u, (uint32_t)-3}) {
      std::vector<uint16_t> got;
      CHECK_OK(run(in.at, slot, head, 0, &got));
      for (uint32_t i = 0; i < 1024; i++) {
        int64_t at = (int64_t)(int32_t)slot + i / 128;
        CHECK(got[i] == (at >= 0 && at < 20 ? tensor[3200 * head + 160 * (uint32_t)at + i % 128] : 0));
      }
    }
}

static void maps_are_checked() {
  restart_with({});
  primary_context context;
  device_buffer in(19200);
  tensor_map map = {};
  void *memory = (void *)(uintptr_t)in.at;
  const uint64_t odd[4] = {328, 128, 6400, 19200}, none[4] = {320, 128, 0, 19200}, far[4] = {320, 128, 1ull << 40, 16};
  for (const uint64_t *stride : {odd, none, far})
    CHECK_CODE(cu.cuTensorMapEncodeTiled(&map, 1, 5, memory, SIZE, stride, BOX, EVERY, 0, 3, 3, 0), CUDA_ERROR_INVALID_VALUE);
  const uint32_t large[5] = {64, 257, 2, 1, 1};
  CHECK_CODE(cu.cuTensorMapEncodeTiled(&map, 1, 5, memory, SIZE, STRIDE, large, EVERY, 0, 3, 3, 0), CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(cu.cuTensorMapEncodeTiled(&map, 1, 5, (char *)memory + 8, SIZE, STRIDE, BOX, EVERY, 0, 3, 3, 0),
             CUDA_ERROR_INVALID_VALUE);
  CHECK_CODE(cu.cuTensorMapEncodeTiled(&map, 1, 5, memory, SIZE, STRIDE, BOX, EVERY, 0, 0, 3, 0), CUDA_ERROR_NOT_SUPPORTED);
}

static void box_mistakes_are_found() {
  const struct {
    uint32_t mistake;
    CUresult code;
    const char *words;
  } rows[] = {{1, CUDA_ERROR_LAUNCH_FAILED, "copies still in flight when the block ended"},
              {2, CUDA_ERROR_MISALIGNED_ADDRESS, "is not a multiple of 1024"},
              {3, CUDA_ERROR_LAUNCH_FAILED, "the bytes it copies to were written before it was done"},
              {4, CUDA_ERROR_LAUNCH_FAILED, "is no tensor map"},
              {5, CUDA_ERROR_LAUNCH_FAILED, "0 of the 1 arrivals at its barrier and -16 bytes"}};
  for (const auto &row : rows) {
    restart_with({});
    primary_context context;
    device_buffer in(std::vector<uint16_t>(3 * 3200, 1));
    std::vector<uint16_t> got;
    CHECK_CODE(run(in.at, 0, 0, row.mistake, &got), row.code);
    CHECK(message_has("copy_box at") || message_has("barrier_sleep at"));
    CHECK(message_has(row.words));
  }
}

void test_boxes() {
  boxes_are_copied();
  maps_are_checked();
  box_mistakes_are_found();
}

// SPDX-License-Identifier: MIT
#include "boxes.h"

#include "copies.h"
#include "state.h"

#include <cstring>

namespace fakecuda {
namespace {

const uint32_t MARK = 0x7a3be5d1, ROW = 128, PIECE = 16, BOX_MOST = 256;
const uint64_t STRIDE_END = 1ull << 40, SIZE_END = 1ull << 32;
enum { UINT16 = 1, FLOAT16 = 6, BFLOAT16 = 9, INTERLEAVE_NONE = 0, SWIZZLE_128B = 3, FILL_WITH_ZERO = 0 };
static_assert(sizeof(map_contents) <= sizeof(tensor_map), "fits");

} // namespace

map_contents check_map(const tensor_map &map, const place &at) {
  map_contents contents;
  check_aligned(&map, alignof(tensor_map), at);
  memcpy(&contents, &map, sizeof contents);
  if (contents.mark != MARK)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: at %p is no tensor map", text_of(at).c_str(), (const void *)&map);
  return contents;
}

box::box(const tensor_map &from, const uint32_t *begin, const place &at) : map(check_map(from, at)), first() {
  if (map.rank != RANK_MOST)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: %u coordinates are given for a tensor of %u dimensions",
                text_of(at).c_str(), RANK_MOST, map.rank);
  for (uint32_t i = 0; i < RANK_MOST; i++) first[i] = (int32_t)begin[i];
  if (first[0])
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: rows are copied from their beginning here, not from %lld on",
                text_of(at).c_str(), (long long)first[0]);
}

uint32_t box::rows() const {
  uint32_t rows = 1;
  for (uint32_t i = 1; i < map.rank; i++) rows *= map.box[i];
  return rows;
}

uint32_t box::bytes() const { return rows() * ROW; }

const char *box::row_at(uint32_t row) const {
  uint64_t offset = 0;
  for (uint32_t i = 1; i < map.rank; i++) {
    int64_t at = first[i] + row % map.box[i];
    row /= map.box[i];
    if (at < 0 || at >= (int64_t)map.size[i]) return nullptr;
    offset += (uint64_t)at * map.stride[i - 1];
  }
  return (const char *)(uintptr_t)(map.address + offset);
}

void box::touch(const place &at) const {
  for (uint32_t row = 0; row < rows(); row++) {
    const char *from = row_at(row);
    if (!from) continue;
    check_global(from, at);
    fakecuda::touch(from, ROW);
  }
}

void box::copy(unsigned char *to) const {
  for (uint32_t row = 0; row < rows(); row++) {
    const char *from = row_at(row);
    for (uint32_t piece = 0; piece < ROW / PIECE; piece++) {
      unsigned char *place = to + row * ROW + (piece ^ row % (ROW / PIECE)) * PIECE;
      if (from) memcpy(place, from + piece * PIECE, PIECE);
      else memset(place, 0, PIECE);
    }
  }
}

} // namespace fakecuda

using namespace fakecuda;

DRIVER_API cuTensorMapEncodeTiled(tensor_map *out, int type, unsigned rank, void *memory, const uint64_t *size,
                                  const uint64_t *stride, const unsigned *box, const unsigned *every, int interleave,
                                  int swizzle, int l2_promotion, int outside) {
  return driver_call("cuTensorMapEncodeTiled", ANY_TIME, text("memory=%p rank=%u", memory, rank),
                     [&](state &, context *) -> CUresult {
    if (!out || !size || !stride || !box || !every || (uintptr_t)out % 64) return CUDA_ERROR_INVALID_VALUE;
    if (type != UINT16 && type != FLOAT16 && type != BFLOAT16) return CUDA_ERROR_NOT_SUPPORTED;
    if (interleave != INTERLEAVE_NONE || swizzle != SWIZZLE_128B || outside != FILL_WITH_ZERO)
      return CUDA_ERROR_NOT_SUPPORTED;
    if (!rank || rank > RANK_MOST || (uintptr_t)memory % PIECE || l2_promotion < 0 || l2_promotion > 3)
      return CUDA_ERROR_INVALID_VALUE;
    map_contents contents = {};
    contents.mark = MARK;
    contents.rank = rank;
    contents.address = (uint64_t)(uintptr_t)memory;
    for (unsigned i = 0; i < rank; i++) {
      if (!size[i] || size[i] > SIZE_END || !box[i] || box[i] > BOX_MOST || every[i] != 1) return CUDA_ERROR_INVALID_VALUE;
      contents.size[i] = size[i];
      contents.box[i] = (uint16_t)box[i];
    }
    for (unsigned i = 0; i + 1 < rank; i++) {
      if (!stride[i] || stride[i] % PIECE || stride[i] >= STRIDE_END) return CUDA_ERROR_INVALID_VALUE;
      contents.stride[i] = stride[i];
    }
    if (box[0] * 2 != ROW || size[0] * 2 != ROW) return CUDA_ERROR_NOT_SUPPORTED;
    memcpy(out, &contents, sizeof contents);
    return CUDA_SUCCESS;
  });
}

// SPDX-License-Identifier: MIT
//
// Tensors in global memory, of which boxes are copied to shared memory: the map that a
// kernel takes, as cuTensorMapEncodeTiled fills it in here, and what a box of it is.
#pragma once

#include "../../ptx/tensor_map.h"
#include "block.h"

namespace fakecuda {

enum : uint32_t { RANK_MOST = 5, BOX_ALIGN = 1024 };

// What a map holds. The elements have 16 bits, boxes have rows of 128 bytes, whose pieces
// of 16 bytes are exchanged (SWIZZLE_128B); nothing else is stood in for.
struct map_contents {
  uint32_t mark, rank;
  uint64_t address;
  uint64_t stride[RANK_MOST - 1]; // bytes
  uint64_t size[RANK_MOST];
  uint16_t box[RANK_MOST];
};

// Fails the kernel when the map was not filled in.
map_contents check_map(const tensor_map &map, const place &at);

class box {
  map_contents map;
  int64_t first[RANK_MOST];

  uint32_t rows() const; // of 128 bytes
  const char *row_at(uint32_t row) const; // in global memory; null: outside the tensor

public:
  box(const tensor_map &map, const uint32_t *first, const place &at);
  uint32_t bytes() const;
  // Looks where it will be read, so that a sanitizer that objects names this line of the kernel.
  void touch(const place &at) const;
  void copy(unsigned char *to) const;
};

} // namespace fakecuda

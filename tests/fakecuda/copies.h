// SPDX-License-Identifier: MIT
//
// Copies from global to shared memory that run beside their thread: here they are done
// as late as hardware may do them, when the thread waits.
#pragma once

#include "block.h"

namespace fakecuda {

struct pending_copy {
  void *to;
  const void *from;
  uint32_t bytes; // 16, or 0 for zeros
  size_t number, group; // both count up
  place at;
};

// Of one thread.
struct copy_queue {
  std::vector<pending_copy> pending; // oldest first
  size_t started = 0, ended_groups = 0;
  size_t awaited = 0; // those started before will be waited for at a barrier (barriers.h)
};

// The 16 bytes at `to` are poison until the copy is done; `from` is read only then.
void copy_later(void *to, const void *from, uint32_t bytes, const place &at);
void end_copy_group();
// Does the copies of all groups that were ended but the last `most`.
void wait_for_copies(size_t most);
// Does those that were among the first `started`.
void finish_copies(copy_queue *queue, size_t started);

// What copies of any kind do: read a byte of every 16 now, so that a sanitizer that objects names this
// line of the kernel; mark bytes that are not there yet, and see that they still are marked.
void touch(const void *from, uint32_t bytes);
void poison(void *to, uint32_t bytes);
void check_poison(const void *to, uint32_t bytes, const place &at);

} // namespace fakecuda

// SPDX-License-Identifier: MIT
#include "copies.h"

#include <algorithm>
#include <cstring>

namespace fakecuda {
namespace {

const uint32_t COPIED = 16;
const int POISON = 0xff; // NaN in every floating type

void do_copy(const pending_copy &copy) {
  check_poison(copy.to, COPIED, copy.at);
  if (copy.bytes) memcpy(copy.to, copy.from, COPIED);
  else memset(copy.to, 0, COPIED);
}

// Does the copies from the oldest on that are `due`.
template <class F>
void do_copies(copy_queue *queue, F due) {
  auto left = queue->pending.begin();
  for (; left != queue->pending.end() && due(*left); ++left) do_copy(*left);
  queue->pending.erase(queue->pending.begin(), left);
}

} // namespace

void touch(const void *from, uint32_t bytes) {
  const volatile char *byte = (const volatile char *)from;
  for (uint32_t i = 0; i < bytes; i += COPIED) (void)byte[i];
  (void)byte[bytes - 1];
}

void poison(void *to, uint32_t bytes) { memset(to, POISON, bytes); }

void check_poison(const void *to, uint32_t bytes, const place &at) {
  const unsigned char *first = (const unsigned char *)to;
  if (std::any_of(first, first + bytes, [](unsigned char byte) { return byte != POISON; }))
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: the bytes it copies to were written before it was done", text_of(at).c_str());
}

void copy_later(void *to, const void *from, uint32_t bytes, const place &at) {
  if (bytes && bytes != COPIED)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: copies 16 bytes or, with 0, zeros, but was asked for %u",
                text_of(at).c_str(), bytes);
  check_aligned(to, COPIED, at);
  check_aligned(from, COPIED, at);
  check_shared(to, COPIED, at);
  if (bytes) {
    check_global(from, at);
    touch(from, COPIED);
  }
  copy_queue &mine = copies_of_thread();
  mine.pending.push_back({to, from, bytes, mine.started++, mine.ended_groups, at});
  poison(to, COPIED);
}

void end_copy_group() { copies_of_thread().ended_groups++; }

void wait_for_copies(size_t most) {
  copy_queue &mine = copies_of_thread();
  do_copies(&mine, [&](const pending_copy &copy) { return copy.group + most < mine.ended_groups; });
}

void finish_copies(copy_queue *queue, size_t started) {
  do_copies(queue, [=](const pending_copy &copy) { return copy.number < started; });
}

} // namespace fakecuda

// SPDX-License-Identifier: MIT
#include "copies.h"

#include <algorithm>
#include <cstring>

namespace fakecuda {
namespace {

const size_t COPIED = 16;
const int POISON = 0xff; // NaN in every floating type

void touch(const void *byte) { (void)*(const volatile char *)byte; }

void do_copy(const pending_copy &copy) {
  const unsigned char *to = (const unsigned char *)copy.to;
  if (std::any_of(to, to + COPIED, [](unsigned char byte) { return byte != POISON; }))
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: the bytes it copies to were written before it was done",
                text_of(copy.at).c_str());
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

void copy_later(void *to, const void *from, uint32_t bytes, const place &at) {
  if (bytes && bytes != COPIED)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: copies 16 bytes or, with 0, zeros, but was asked for %u",
                text_of(at).c_str(), bytes);
  check_aligned(to, COPIED, at);
  check_aligned(from, COPIED, at);
  check_shared(to, COPIED, at);
  if (bytes) {
    check_global(from, at);
    touch(from); // now, so that a sanitizer that objects names this line of the kernel
    touch((const char *)from + COPIED - 1);
  }
  copy_queue &mine = copies_of_thread();
  mine.pending.push_back({to, from, bytes, mine.started++, mine.ended_groups, at});
  memset(to, POISON, COPIED);
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

// SPDX-License-Identifier: MIT
#include "barriers.h"

#include <cstring>

namespace fakecuda {
namespace {

// What the 8 bytes of a barrier hold. No other data looks like it by accident.
struct barrier_state {
  uint32_t mark : 23, parity : 1; // of the phase under way
  uint32_t count_low : 8;
  uint32_t count_high : 12, left : 20; // arrivals
};
const uint32_t MARK = 0x2e9d53, COUNT_MOST = (1 << 20) - 1;
static_assert(sizeof(barrier_state) == 8, "as on hardware");

uint32_t count_of(const barrier_state &s) { return s.count_high << 8 | s.count_low; }

barrier_state load(const void *barrier) {
  barrier_state s;
  memcpy(&s, barrier, sizeof s);
  return s;
}

void check_place(const uint64_t *barrier, const place &at) {
  check_aligned(barrier, sizeof *barrier, at);
  check_shared(barrier, sizeof *barrier, at);
}

void check_mark(const uint64_t *barrier, const place &at) {
  if (load(barrier).mark != MARK)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: at %p is no barrier; barrier_init and a block_barrier come first",
                text_of(at).c_str(), (const void *)barrier);
}

void check_barrier(const uint64_t *barrier, const place &at) {
  check_place(barrier, at);
  check_mark(barrier, at);
}

int64_t &expected_at(uint64_t *barrier) {
  std::vector<expected_bytes> &all = barriers_of_block_with(barrier).expected;
  for (expected_bytes &one : all)
    if (one.barrier == barrier) return one.bytes;
  all.push_back({barrier, 0});
  return all.back().bytes;
}

void complete_when_due(uint64_t *barrier) {
  barrier_state s = load(barrier);
  if (s.left || expected_at(barrier)) return;
  s.left = count_of(s) & COUNT_MOST;
  s.parity ^= 1;
  memcpy(barrier, &s, sizeof s);
  wake(barrier);
}

void arrive(uint64_t *barrier, const place &at) {
  barrier_state s = load(barrier);
  if (!s.left)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: arrives once more than the barrier takes while bytes are expected",
                text_of(at).c_str());
  s.left = (s.left - 1) & COUNT_MOST;
  memcpy(barrier, &s, sizeof s);
  complete_when_due(barrier);
}

// The oldest arrival at the barrier that waits for copies takes place. False if there is none.
bool arrive_late(uint64_t *barrier, const place &at) {
  std::vector<later_arrival> &later = barriers_of_block().later;
  for (size_t i = 0; i < later.size(); i++) {
    if (later[i].barrier != barrier) continue;
    finish_copies(later[i].copies, later[i].started);
    later.erase(later.begin() + (ptrdiff_t)i);
    arrive(barrier, at);
    return true;
  }
  return false;
}

// The oldest box that the barrier counts is copied. False if there is none.
bool copy_late(uint64_t *barrier) {
  std::vector<pending_box> &boxes = barriers_of_block().boxes;
  for (size_t i = 0; i < boxes.size(); i++) {
    if (boxes[i].barrier != barrier) continue;
    pending_box one = boxes[i];
    boxes.erase(boxes.begin() + (ptrdiff_t)i);
    check_poison(one.to, one.from.bytes(), one.at);
    one.from.copy(one.to);
    expected_at(barrier) -= one.from.bytes();
    complete_when_due(barrier);
    return true;
  }
  return false;
}

std::string missing_arrivals(const void *barrier) {
  barrier_state s = load(barrier);
  int64_t bytes = expected_at((uint64_t *)barrier);
  return std::to_string(s.left) + " of the " + std::to_string(count_of(s)) + " arrivals at its barrier" +
         (bytes ? " and " + std::to_string(bytes) + " bytes" : "");
}

std::string missing_threads(const void *barrier) {
  const numbered_barrier &b = *(const numbered_barrier *)barrier;
  return std::to_string(b.threads - b.arrived) + " of " + std::to_string(b.threads) + " threads";
}

} // namespace

void init_barrier(uint64_t *barrier, uint32_t count, const place &at) {
  check_place(barrier, at);
  if (!count || count > COUNT_MOST)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: %u arrivals; a barrier takes 1 to %u", text_of(at).c_str(), count,
                COUNT_MOST);
  if (load(barrier).mark == MARK)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: at %p is a barrier already", text_of(at).c_str(), (void *)barrier);
  barrier_state s = {MARK, 0, count & 0xff, count >> 8, count};
  memcpy(barrier, &s, sizeof s);
}

void arrive_at_barrier(uint64_t *barrier, const place &at) {
  check_barrier(barrier, at);
  arrive(barrier, at);
}

void arrive_and_expect(uint64_t *barrier, uint32_t bytes, const place &at) {
  check_barrier(barrier, at);
  expected_at(barrier) += bytes;
  arrive(barrier, at);
}

void arrive_in_cluster(uint64_t *barrier, const place &at) {
  check_mark(barrier, at);
  arrive(barrier, at);
}

void store_in_cluster(void *to, const void *from, uint32_t bytes, uint64_t *barrier, const place &at) {
  check_aligned(to, bytes, at);
  check_mark(barrier, at);
  memcpy(to, from, bytes);
  expected_at(barrier) -= bytes;
  complete_when_due(barrier);
}

void arrive_after_copies(uint64_t *barrier, const place &at) {
  check_barrier(barrier, at);
  copy_queue &mine = copies_of_thread();
  mine.awaited = mine.started;
  barriers_of_block().later.push_back({barrier, &mine, mine.started});
  wake(barrier);
}

void copy_box_later(void *to, const tensor_map &map, const uint32_t *first, uint64_t *barrier, const place &at) {
  box from(map, first, at);
  check_aligned(to, BOX_ALIGN, at);
  check_shared(to, from.bytes(), at);
  check_barrier(barrier, at);
  from.touch(at);
  barriers_of_block().boxes.push_back({barrier, (unsigned char *)to, from, at});
  poison(to, from.bytes());
  wake(barrier);
}

void wait_for_phase(uint64_t *barrier, uint32_t parity, const place &at) {
  if (parity > 1) fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: parity %u is not 0 or 1", text_of(at).c_str(), parity);
  for (;;) {
    check_barrier(barrier, at);
    if (load(barrier).parity != parity) return;
    if (!arrive_late(barrier, at) && !copy_late(barrier)) wait_to_wake(barrier, missing_arrivals, at);
  }
}

void wait_for_first_threads(uint32_t number, uint32_t threads, const place &at) {
  const coordinates &t = now->thread, &all = now->threads;
  uint32_t me = t.x + all.x * (t.y + all.y * t.z);
  if (!number || number > 15)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: barrier %u; there are 1 to 15", text_of(at).c_str(), number);
  if (!threads || threads % 32 || threads > all.x * all.y * all.z)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: %u threads are not whole warps of the block", text_of(at).c_str(),
                threads);
  if (me >= threads)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: is for the first %u threads, and came to number %u",
                text_of(at).c_str(), threads, me);
  numbered_barrier &b = barriers_of_block().numbered[number];
  if (b.arrived && (b.threads != threads || !same_place(b.at, at)))
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: %u threads wait at barrier %u while others do in %s for %u",
                text_of(at).c_str(), threads, number, text_of(b.at).c_str(), b.threads);
  b.at = at;
  b.threads = threads;
  if (++b.arrived < threads) {
    wait_to_wake(&b, missing_threads, at);
    return;
  }
  b.arrived = 0;
  wake(&b);
}

} // namespace fakecuda

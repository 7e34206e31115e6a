// SPDX-License-Identifier: MIT
//
// Barriers that not the whole block waits at: those in shared memory, with phases, and
// those of the block's first threads.
#pragma once

#include "boxes.h"
#include "copies.h"

namespace fakecuda {

// An arrival that takes place once copies are done: here, when somebody waits for it.
struct later_arrival {
  uint64_t *barrier;
  copy_queue *copies;
  size_t started; // copies, when it was asked for
};

// Bytes that a barrier in shared memory still expects; less than 0 where they came early.
struct expected_bytes {
  uint64_t *barrier;
  int64_t bytes;
};

// A box that a barrier counts once it is copied: here, when somebody waits for it.
struct pending_box {
  uint64_t *barrier;
  unsigned char *to;
  box from;
  place at;
};

struct numbered_barrier {
  unsigned arrived, threads;
  place at;
};

// Of one block.
struct block_barriers {
  std::vector<later_arrival> later; // oldest first
  std::vector<expected_bytes> expected;
  std::vector<pending_box> boxes; // oldest first
  numbered_barrier numbered[16];
};

void init_barrier(uint64_t *barrier, uint32_t count, const place &at);
void arrive_at_barrier(uint64_t *barrier, const place &at);
void arrive_after_copies(uint64_t *barrier, const place &at);
void arrive_and_expect(uint64_t *barrier, uint32_t bytes, const place &at);
// The bytes at `to` are poison until the copy is done; what it copies is read only then.
void copy_box_later(void *to, const tensor_map &map, const uint32_t *first, uint64_t *barrier, const place &at);
// The barrier, and where to, in the shared memory of a block of the cluster.
void arrive_in_cluster(uint64_t *barrier, const place &at);
void store_in_cluster(void *to, const void *from, uint32_t bytes, uint64_t *barrier, const place &at);
void wait_for_phase(uint64_t *barrier, uint32_t parity, const place &at);
void wait_for_first_threads(uint32_t number, uint32_t threads, const place &at);

} // namespace fakecuda

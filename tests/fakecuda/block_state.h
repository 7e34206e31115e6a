// SPDX-License-Identifier: MIT
//
// The blocks that run, as block.cpp keeps them and cluster.cpp sees them.
#pragma once

#include "barriers.h"

#include <memory>

namespace fakecuda {

struct together_wait {
  uint32_t mask;
  void *mine;
  together_fn *all;
  bool ended_may_miss;
  const place *at;
};

struct fiber;
struct block_slot;
struct warp;

struct lane {
  thread_position position;
  block_slot *in;
  fiber *runs_on;
  warp *of;
  unsigned number;
  bool entered, ended;
  const together_wait *wait; // on its stack, as its other places
  const void *key;           // of wait_to_wake
  missing_fn *missing;
  const place *asleep_at;
  uint64_t cluster_turn; // of arrive_at_cluster, plus 1; 0 when it has waited
  copy_queue copies;
};

// A bit for each lane; one that exists is in just one of the other five, or runs.
struct warp {
  uint32_t exists, ready, together, at_barrier, asleep, ended;
  lane *lanes;
};

struct static_piece {
  size_t bytes;
  void *memory;
  uint64_t poisoned_for;
};

// A block that runs, and what is kept for the next one.
struct block_slot {
  std::vector<lane> lanes;
  std::vector<warp> warps;
  std::vector<static_piece> statics;
  void *dynamic = nullptr;
  uint64_t serial; // over all launches
  unsigned live, arrived;
  place barrier;
  bool active, previous_waited_for;
  size_t first_of_cluster; // its slot, which has for all of them:
  uint64_t cluster_turn;
  unsigned cluster_arrived;
  block_barriers barriers;
};

extern const grid_launch *launch;
extern lane *current;
extern std::vector<std::unique_ptr<block_slot>> *const slots; // those of a cluster one after the other

} // namespace fakecuda

// SPDX-License-Identifier: MIT
//
// What the blocks of a cluster have in common.
#include "block_state.h"

namespace fakecuda {
namespace {

block_slot &head_of_cluster() { return *(*slots)[current->in->first_of_cluster]; }

std::string missing_in_cluster(const void *) { return "threads of its cluster that do not arrive"; }

} // namespace

void arrive_at_cluster(const place &at) {
  block_slot &head = head_of_cluster();
  if (current->cluster_turn)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: arrives twice without waiting", text_of(at).c_str());
  current->cluster_turn = head.cluster_turn + 1;
  if (++head.cluster_arrived < head.lanes.size() * launch->what->cluster) return;
  head.cluster_arrived = 0;
  head.cluster_turn++;
  wake(&head.cluster_turn);
}

void wait_for_cluster(const place &at) {
  block_slot &head = head_of_cluster();
  if (!current->cluster_turn)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: waits without having arrived", text_of(at).c_str());
  while (head.cluster_turn < current->cluster_turn) wait_to_wake(&head.cluster_turn, missing_in_cluster, at);
  current->cluster_turn = 0;
}

void *place_in_block(const void *shared, uint32_t rank, const place &at) {
  const block_slot &block = *current->in;
  size_t offset = (size_t)((uintptr_t)shared - (uintptr_t)block.dynamic);
  if (offset >= launch->dynamic_bytes || rank >= launch->what->cluster)
    fail_kernel(CUDA_ERROR_ILLEGAL_ADDRESS,
                "%s: %p is not in the block's dynamic shared memory, or %u no block of the cluster",
                text_of(at).c_str(), shared, rank);
  const block_slot &other = *(*slots)[block.first_of_cluster + rank];
  if (!other.active)
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: block %u of the cluster has ended", text_of(at).c_str(), rank);
  return (char *)other.dynamic + offset;
}

block_barriers &barriers_of_block_with(const void *shared) {
  for (unsigned rank = 0; rank < launch->what->cluster; rank++) {
    block_slot &block = *(*slots)[current->in->first_of_cluster + rank];
    if ((uintptr_t)shared - (uintptr_t)block.dynamic < launch->dynamic_bytes) return block.barriers;
  }
  return current->in->barriers;
}

} // namespace fakecuda

// SPDX-License-Identifier: MIT
#include "block_state.h"
#include "fiber.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fakecuda {

const thread_position *now;
const grid_launch *launch;
lane *current;
std::vector<std::unique_ptr<block_slot>> *const slots = new std::vector<std::unique_ptr<block_slot>>;

namespace {

struct abandoned {}; // thrown through the threads of a launch that has failed

const int POISON = 0xa5;
const size_t THREADS_MOST = 1024;

uint32_t turn; // lanes of the warp that runs that are still to run
bool failed, abandoning;
CUresult failure;
std::string failure_text;
uint64_t block_serial, random_state;

uint64_t next_random() {
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

// ---- Messages -----------------------------------------------------------------

std::string text_of(const char *name, const coordinates &c) {
  return std::string(name) + " (" + std::to_string(c.x) + "," + std::to_string(c.y) + "," + std::to_string(c.z) + ")";
}

bool same_text(const char *a, const char *b) { return a == b || !strcmp(a, b); }

void keep_failure(CUresult code, const lane &l, const std::string &text) {
  if (failed) return;
  failed = true;
  failure = code;
  failure_text = std::string("kernel ") + launch->what->name + ", " + text_of("block", l.position.block) + ", " +
                 text_of("thread", l.position.thread) + ": " + text;
}

// Why lane `i` does not come to where the lane `l` waits; "" when it does.
std::string why_missing(const block_slot &block, const lane &l, unsigned i) {
  const warp &w = *l.of;
  std::string name = "lane " + std::to_string(i);
  if (!(w.exists >> i & 1)) return name + ", which the block does not have";
  if (w.ended >> i & 1) return name + ", which has ended";
  if (w.at_barrier >> i & 1) return name + ", which waits for the block in " + text_of(block.barrier);
  if (w.asleep >> i & 1) return name + ", which waits in " + text_of(*w.lanes[i].asleep_at);
  const together_wait &other = *w.lanes[i].wait;
  if (!same_place(*other.at, *l.wait->at)) return name + ", which waits in " + text_of(*other.at);
  if (other.mask != l.wait->mask) return name + ", which waits with another mask";
  return "";
}

// Nothing can run and something waits: says which thread for what.
void explain_standstill() {
  const lane *at_barrier = nullptr;
  lane *asleep = nullptr;
  for (auto &block : *slots) {
    if (!block->active) continue;
    for (lane &l : block->lanes) {
      const warp &w = *l.of;
      if (w.at_barrier >> l.number & 1) at_barrier = &l;
      if (w.asleep >> l.number & 1) asleep = &l;
      if (!(w.together >> l.number & 1)) continue;
      for (unsigned i = 0; i < 32; i++) {
        bool ended = (w.ended | ~w.exists) >> i & 1;
        if (!(l.wait->mask >> i & 1) || (l.wait->ended_may_miss && ended)) continue;
        std::string why = why_missing(*block, l, i);
        if (why.empty()) continue;
        keep_failure(CUDA_ERROR_LAUNCH_FAILED, l, text_of(*l.wait->at) + " waits for " + why);
        return;
      }
    }
  }
  if (asleep) {
    current = asleep; // missing() may ask for what its block has
    keep_failure(CUDA_ERROR_LAUNCH_FAILED, *asleep,
                 text_of(*asleep->asleep_at) + " waits for " + asleep->missing(asleep->key));
  }
  if (at_barrier)
    keep_failure(CUDA_ERROR_LAUNCH_FAILED, *at_barrier,
                 text_of(at_barrier->in->barrier) + " was reached by " + std::to_string(at_barrier->in->arrived) +
                     " of " + std::to_string(at_barrier->in->live) + " live threads");
}

// ---- Threads ------------------------------------------------------------------

fiber *start_lane(lane &l) {
  current = &l;
  now = &l.position;
  l.entered = true;
  return l.runs_on;
}

// The next lane of the turn, which runs now.
lane &take_turn(warp &w) {
  unsigned number = (unsigned)__builtin_ctz(turn);
  turn &= turn - 1;
  w.ready &= ~(1u << number);
  return w.lanes[number];
}

// Lets the turn go on, or gives control to the scheduler; comes back when the lane is
// entered again.
void pause_lane() {
  if (turn) fiber_pass(start_lane(take_turn(*current->of)));
  else fiber_leave();
  if (abandoning) throw abandoned();
}

// Lets go on all that wait for what `x` waits for, if everybody is there.
bool complete_together(warp &w, const together_wait &x) {
  uint32_t needed = x.mask;
  if (x.ended_may_miss) needed &= w.exists & ~w.ended;
  if (needed & ~w.together) return false;
  void *brought[32] = {};
  for (uint32_t left = needed; left; left &= left - 1) {
    int i = __builtin_ctz(left);
    const together_wait &other = *w.lanes[i].wait;
    if (other.mask != x.mask || !same_place(*other.at, *x.at)) return false;
    brought[i] = other.mine;
  }
  x.all(brought);
  w.together &= ~needed;
  w.ready |= needed;
  return true;
}

void open_barrier_when_full(block_slot &block) {
  if (!block.arrived || block.arrived != block.live) return;
  block.arrived = 0;
  for (warp &w : block.warps) {
    w.ready |= w.at_barrier;
    w.at_barrier = 0;
  }
}

// What every fiber runs: one emulated thread after the other.
void fiber_body() {
  for (;;) {
    lane *me = current;
    try {
      launch->what->run(launch->what->function, launch->parameters);
    } catch (const abandoned &) {
    }
    me->ended = true;
    fiber_leave();
  }
}

// Runs lanes of the turn up to the one that ends, or to the turn's end.
void run_lanes(block_slot &block, warp &w) {
  fiber_enter(start_lane(take_turn(w)));
  const lane &l = *current;
  if (!l.ended) return;
  if (!l.copies.pending.empty() && l.copies.pending.back().number >= l.copies.awaited)
    keep_failure(CUDA_ERROR_LAUNCH_FAILED, l,
                 text_of(l.copies.pending.back().at) + ": copies still in flight when the thread ended; it must wait");
  w.ended |= 1u << l.number;
  block.live--;
  for (unsigned i = 0; i < 32 && w.together; i++)
    if (w.together >> i & 1) complete_together(w, *w.lanes[i].wait);
  open_barrier_when_full(block);
}

// How often a warp may go from one stop to the next before others have their turn:
// to its end when the block is alone, once among others, at random when shuffled.
unsigned steps_of_turn() {
  if (launch->shuffle) return (unsigned)(next_random() & 1 ? 0 : 1 + next_random() % 8);
  return launch->resident == 1 ? ~0u : 1;
}

// Gives each warp's ready lanes their turns. False when no lane was ready.
bool run_block(block_slot &block) {
  bool any_ready = false;
  size_t count = block.warps.size(), first = launch->shuffle ? next_random() % count : 0;
  for (size_t n = 0; n < count && !failed; n++) {
    warp &w = block.warps[(first + n) % count];
    if (!w.ready) continue;
    any_ready = true;
    for (unsigned steps = steps_of_turn(); steps && w.ready && !failed; steps--)
      for (turn = w.ready; turn && !failed;) run_lanes(block, w);
  }
  return any_ready;
}

// ---- Blocks -------------------------------------------------------------------

void prepare_slot(block_slot &block, size_t slot_number) {
  const coordinates &t = launch->threads;
  unsigned count = t.x * t.y * t.z;
  block.lanes.assign(count, lane());
  for (unsigned i = 0; i < count; i++) {
    lane &l = block.lanes[i];
    l.position = {{i % t.x, i / t.x % t.y, i / t.x / t.y}, {0, 0, 0}, t, launch->blocks};
    l.in = &block;
    l.runs_on = fiber_at(slot_number * THREADS_MOST + i, fiber_body);
    l.number = i % 32;
  }
  block.first_of_cluster = slot_number / launch->what->cluster * launch->what->cluster;
  free(block.dynamic);
  if (posix_memalign(&block.dynamic, 1024, launch->dynamic_bytes)) abort();
}

void start_block(block_slot &block, uint64_t number) {
  const coordinates &g = launch->blocks;
  coordinates at = {(uint32_t)(number % g.x), (uint32_t)(number / g.x % g.y), (uint32_t)(number / g.x / g.y)};
  unsigned count = (unsigned)block.lanes.size();
  block.warps.assign((count + 31) / 32, warp());
  for (lane &l : block.lanes) {
    l.position.block = at;
    l.entered = l.ended = false;
    l.cluster_turn = 0;
    l.of = &block.warps[(size_t)(&l - &block.lanes[0]) / 32];
    l.of->exists |= 1u << l.number;
    l.of->ready |= 1u << l.number;
    if (!l.number) l.of->lanes = &l;
  }
  block.serial = ++block_serial;
  block.live = count;
  block.arrived = 0;
  block.active = true;
  block.previous_waited_for = false;
  block.cluster_turn = block.cluster_arrived = 0;
  block.barriers = {};
  if (launch->dynamic_bytes) memset(block.dynamic, POISON, launch->dynamic_bytes);
}

void end_block(block_slot &block) {
  block.active = false;
  for (const lane &l : block.lanes)
    if (!l.copies.pending.empty())
      keep_failure(CUDA_ERROR_LAUNCH_FAILED, l,
                   text_of(l.copies.pending[0].at) + ": copies still in flight when the block ended; nobody waited");
  if (!block.barriers.boxes.empty())
    keep_failure(CUDA_ERROR_LAUNCH_FAILED, block.lanes[0],
                 text_of(block.barriers.boxes[0].at) + ": copies still in flight when the block ended; nobody waited");
  if (launch->programmatic && !block.previous_waited_for)
    keep_failure(
        CUDA_ERROR_LAUNCH_FAILED, block.lanes[0],
        "launched with programmatic stream serialization, and no thread of the block waited for the kernel before");
}

// Unwinds every thread that stands somewhere in the kernel.
void abandon_blocks() {
  abandoning = true;
  turn = 0;
  for (auto &block : *slots) {
    if (!block->active) continue;
    for (lane &l : block->lanes)
      if (l.entered && !l.ended) fiber_enter(start_lane(l));
    block->active = false;
  }
  abandoning = false;
}

// Block numbers in the order in which they start.
class block_order {
public:
  explicit block_order(uint64_t count) : left(count), next(0) {
    if (!launch->shuffle) return;
    numbers.resize(count);
    for (uint64_t i = 0; i < count; i++) {
      uint64_t j = next_random() % (i + 1);
      numbers[i] = numbers[j];
      numbers[j] = i;
    }
  }
  bool take(uint64_t *out) {
    if (!left) return false;
    left--;
    *out = numbers.empty() ? next : numbers[next];
    next++;
    return true;
  }

private:
  uint64_t left, next;
  std::vector<uint64_t> numbers;
};

} // namespace

// ---- For kernels ----------------------------------------------------------------

std::string text_of(const place &at) {
  const char *slash = strrchr(at.file, '/');
  return std::string(at.what) + " at " + (slash ? slash + 1 : at.file) + ":" + std::to_string(at.line);
}

bool same_place(const place &a, const place &b) {
  return a.line == b.line && same_text(a.what, b.what) && same_text(a.file, b.file);
}

void do_together(uint32_t mask, void *mine, together_fn *all, bool ended_may_miss, const place &at) {
  lane &me = *current;
  warp &w = *me.of;
  if (!(mask >> me.number & 1))
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "%s: lane %u is not in its own mask %#x", text_of(at).c_str(), me.number,
                mask);
  together_wait wait = {mask, mine, all, ended_may_miss, &at};
  me.wait = &wait;
  w.together |= 1u << me.number;
  if (!complete_together(w, wait)) pause_lane();
  else w.ready &= ~(1u << me.number);
  me.wait = nullptr;
}

void wait_for_block(const place &at) {
  lane &me = *current;
  block_slot &block = *me.in;
  warp &w = *me.of;
  if (block.arrived && !same_place(block.barrier, at))
    fail_kernel(CUDA_ERROR_LAUNCH_FAILED, "waits for the block in %s while others do in %s", text_of(at).c_str(),
                text_of(block.barrier).c_str());
  block.barrier = at;
  w.at_barrier |= 1u << me.number;
  block.arrived++;
  open_barrier_when_full(block);
  if (w.at_barrier >> me.number & 1) pause_lane();
  else w.ready &= ~(1u << me.number);
}

void wait_to_wake(const void *key, missing_fn *missing, const place &at) {
  lane &me = *current;
  me.key = key;
  me.missing = missing;
  me.asleep_at = &at;
  me.of->asleep |= 1u << me.number;
  pause_lane();
}

void wake(const void *key) {
  for (unsigned rank = 0; rank < launch->what->cluster; rank++)
    for (warp &w : (*slots)[current->in->first_of_cluster + rank]->warps)
      for (uint32_t left = w.asleep; left; left &= left - 1) {
        uint32_t lowest = left & -left;
        if (w.lanes[__builtin_ctz(left)].key != key) continue;
        w.asleep &= ~lowest;
        w.ready |= lowest;
      }
}

void give_way() {
  if (launch->resident == 1) return;
  lane &me = *current;
  me.of->ready |= 1u << me.number;
  pause_lane();
}

void fail_kernel(CUresult code, const char *format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  keep_failure(code, *current, text);
  throw abandoned();
}

void fail_misaligned(const void *p, size_t align, const place &at) {
  fail_kernel(CUDA_ERROR_MISALIGNED_ADDRESS, "%s: address %p is not a multiple of %zu", text_of(at).c_str(), p, align);
}

void *static_memory(size_t bytes) {
  block_slot &block = *current->in;
  size_t words = (bytes + 3) / 4;
  static_piece *piece = nullptr;
  for (static_piece &p : block.statics)
    if (p.bytes == bytes) piece = &p;
  if (!piece) {
    void *memory;
    if (posix_memalign(&memory, 128, words * 4)) abort();
    block.statics.push_back({bytes, memory, 0});
    piece = &block.statics.back();
  }
  if (piece->poisoned_for != block.serial) {
    memset(piece->memory, POISON, words * 4);
    piece->poisoned_for = block.serial;
  }
  return piece->memory;
}

void check_global(const void *p, const place &at) {
  const block_slot &block = *current->in;
  bool shared = (uintptr_t)p - (uintptr_t)block.dynamic < launch->dynamic_bytes;
  for (const static_piece &piece : block.statics) shared |= (uintptr_t)p - (uintptr_t)piece.memory < piece.bytes;
  if (__builtin_expect(shared, 0))
    fail_kernel(CUDA_ERROR_ILLEGAL_ADDRESS, "%s: address %p is in shared memory", text_of(at).c_str(), p);
}

void check_shared(const void *p, size_t bytes, const place &at) {
  const block_slot &block = *current->in;
  auto within = [=](const void *memory, size_t size) {
    return bytes <= size && (uintptr_t)p - (uintptr_t)memory <= size - bytes;
  };
  if (within(block.dynamic, launch->dynamic_bytes)) return;
  for (const static_piece &piece : block.statics)
    if (piece.poisoned_for == block.serial && within(piece.memory, piece.bytes)) return;
  fail_kernel(CUDA_ERROR_ILLEGAL_ADDRESS, "%s: the %zu bytes at %p are not in the block's shared memory",
              text_of(at).c_str(), bytes, p);
}

void *dynamic_memory() { return current->in->dynamic; }
copy_queue &copies_of_thread() { return current->copies; }
block_barriers &barriers_of_block() { return current->in->barriers; }
void previous_kernel_waited_for() { current->in->previous_waited_for = true; }
uint32_t lane_number() { return current->number; }

// ---- For the driver -------------------------------------------------------------

CUresult run_grid(const grid_launch &what, std::string *out_message) {
  launch = &what;
  failed = false;
  failure = CUDA_SUCCESS;
  random_state = what.shuffle;
  size_t cluster = what.what->cluster, room = what.resident > cluster ? what.resident / cluster : 1;
  uint64_t number;
  block_order order((uint64_t)what.blocks.x * what.blocks.y * what.blocks.z / cluster);
  size_t active = 0; // clusters
  for (; active < room && order.take(&number); active++)
    for (size_t i = active * cluster; i < (active + 1) * cluster; i++) {
      if (slots->size() <= i) slots->push_back(std::make_unique<block_slot>());
      prepare_slot(*(*slots)[i], i);
      start_block(*(*slots)[i], number * cluster + i % cluster);
    }
  while (active && !failed) {
    bool any_ready = false;
    size_t first = what.shuffle ? next_random() % slots->size() : 0;
    for (size_t n = 0; n < slots->size() && !failed; n++) {
      block_slot &block = *(*slots)[(first + n) % slots->size()];
      if (!block.active) continue;
      any_ready |= run_block(block);
      if (failed || block.live) continue;
      end_block(block);
      bool any_active = false;
      for (size_t i = 0; i < cluster; i++) any_active |= (*slots)[block.first_of_cluster + i]->active;
      if (any_active) continue;
      if (order.take(&number))
        for (size_t i = 0; i < cluster; i++) start_block(*(*slots)[block.first_of_cluster + i], number * cluster + i);
      else
        active--;
    }
    if (!any_ready && !failed) explain_standstill();
  }
  abandon_blocks();
  *out_message = failure_text;
  failure_text.clear();
  return failure;
}

} // namespace fakecuda

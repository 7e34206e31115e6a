// SPDX-License-Identifier: MIT
//
// Blocks of emulated CUDA threads: what a kernel compiled for the host asks of
// them (through emulate.h), and what the driver asks.
#pragma once

#include "driver.h"

#include <string>
#include <utility>
#include <vector>

namespace fakecuda {

// ---- For kernels -------------------------------------------------------------

struct coordinates {
  uint32_t x, y, z;
};

struct thread_position {
  coordinates thread, block, threads, blocks;
};

// The running thread. Kernels run one at a time, so this needs no TLS.
extern const thread_position *now __attribute__((visibility("hidden")));

// A line of a kernel, for messages, and to tell two barriers from each other.
struct place {
  const char *what, *file;
  int line;
};
std::string text_of(const place &at);
bool same_place(const place &a, const place &b);

// Every lane of `mask` must come here, with the same mask, from the same place; the
// last one runs `all` over what each lane brought (null outside the mask), then
// all go on. Whatever a warp does together is made of this. `ended_may_miss`: lanes
// that have ended, or that the block never had, are not waited for.
typedef void together_fn(void *const *lanes);
void do_together(uint32_t mask, void *mine, together_fn *all, bool ended_may_miss, const place &at);

// Every live thread of the block must come here.
void wait_for_block(const place &at);

// Of a cluster: every thread of its blocks must arrive, before it ends, then may wait for the
// others. Hardware does not wait for those that have ended.
void arrive_at_cluster(const place &at);
void wait_for_cluster(const place &at);
// The same place in the shared memory of the cluster's block `rank`, which must be running.
void *place_in_block(const void *shared, uint32_t rank, const place &at);

// Stops the running thread until another wakes all of the cluster that wait for `key`. If
// none does, the launch fails: it waited for missing(key).
typedef std::string missing_fn(const void *key);
void wait_to_wake(const void *key, missing_fn *missing, const place &at);
void wake(const void *key);

// Lets other threads run, where hardware may. Only in interleaved blocks.
void give_way();

// Ends the launch with this code and message.
[[noreturn]] void fail_kernel(CUresult code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Shared memory of the running block: the same pieces for all threads, poisoned
// when the block starts. One static piece for each `bytes`.
void *static_memory(size_t bytes);
void *dynamic_memory();

// Fails when p is in the block's shared memory; when not all the bytes from p on are.
void check_global(const void *p, const place &at);
void check_shared(const void *p, size_t bytes, const place &at);

// Of the running thread (copies.h), and of its block (barriers.h).
struct copy_queue;
struct block_barriers;
copy_queue &copies_of_thread();
block_barriers &barriers_of_block();
block_barriers &barriers_of_block_with(const void *shared); // of the cluster; that it is in the dynamic memory of

void previous_kernel_waited_for();
uint32_t lane_number();

// A vector access must be aligned to its size: hardware faults.
[[noreturn]] void fail_misaligned(const void *p, size_t align, const place &at);
inline void check_aligned(const void *p, size_t align, const place &at) {
  if (__builtin_expect(((uintptr_t)p & (align - 1)) != 0, 0)) fail_misaligned(p, align, at);
}

// ---- The kernels there are ---------------------------------------------------

struct parameter_layout {
  size_t size, align;
};

// One kernel of the sources; made by KERNEL() before main.
struct kernel {
  const char *name;
  unsigned threads; // launch bound
  unsigned cluster; // blocks that run together
  std::vector<parameter_layout> parameters;
  void (*function)();
  void (*run)(void (*function)(), void *const *parameters);
  kernel *next;

  template <class... A>
  kernel(const char *its_name, unsigned its_threads, void (*its_function)(A...))
      : kernel(its_name, its_threads, 1, its_function) {}
  template <class... A>
  kernel(const char *its_name, unsigned its_threads, unsigned its_cluster, void (*its_function)(A...))
      : name(its_name),
        threads(its_threads),
        cluster(its_cluster),
        parameters{{sizeof(A), alignof(A)}...},
        function((void (*)())its_function),
        run(run_with<A...>) {
    add();
  }

private:
  void add();

  template <class... A, size_t... i>
  static void call(void (*f)(A...), void *const *p, std::index_sequence<i...>) {
    (void)p;
    f(*(const A *)p[i]...);
  }
  template <class... A>
  static void run_with(void (*f)(), void *const *p) {
    call((void (*)(A...))f, p, std::index_sequence_for<A...>());
  }
};

const kernel *find_kernel(const std::string &name);

// ---- For the driver ----------------------------------------------------------

struct grid_launch {
  const kernel *what;
  coordinates blocks, threads;
  size_t dynamic_bytes;
  void *const *parameters;
  bool programmatic; // some thread of each block must wait for the previous kernel
  uint64_t shuffle;  // 0: in order
  unsigned resident;
};

CUresult run_grid(const grid_launch &launch, std::string *out_message);

} // namespace fakecuda

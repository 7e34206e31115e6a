/* SPDX-License-Identifier: MIT */

/* The control interface of the stand-in driver: what tests ask it and tell it,
 * beside the CUDA driver API itself. A test finds these functions with dlsym in
 * the library that the program under test has loaded, so they are also given as
 * types. Every function may be called from any thread.
 *
 * Environment, read at the first driver call and again by fakecuda_restart():
 *   FAKECUDA_DEVICES  "sm=90,sms=132,l2=50M,smem=227K,mem=8G,name=Fake;sm=80": the
 *                     devices in order; what is not given follows from sm. One
 *                     sm=90 device when unset, none when empty.
 *   FAKECUDA_DRIVER   as cuDriverGetVersion tells it: 12040. Default 13000.
 *   FAKECUDA_LOG      file to which each driver call appends "name arguments -> code"
 *   FAKECUDA_FAIL     "cuInit=100,cuMemAlloc_v2=2@3": every cuInit, and the third
 *                     cuMemAlloc_v2, fail with these codes
 *   FAKECUDA_SHUFFLE  a seed: blocks and warps run in random order. 0 or unset: in order.
 *   FAKECUDA_RESIDENT blocks that run interleaved, 1 to 64. Default 1.
 *
 * A kernel that misbehaves (a shuffle or barrier that some threads never reach, a
 * misaligned vector load, ...) fails its launch with a code of CUDA, a line on
 * stderr, and fakecuda_message(). As with a real driver the context is then broken:
 * every later call that needs it fails alike, until it is destroyed or
 * fakecuda_reset().
 */
#ifndef FAKECUDA_H
#define FAKECUDA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Calls of this driver function since the last reset, failed ones included. NULL:
 * all calls that can fail, which are all but cuGetErrorName and cuGetErrorString. */
typedef uint64_t fakecuda_calls_fn(const char *name);
uint64_t fakecuda_calls(const char *name);

/* Counts, planned failures, messages and broken contexts are forgotten; the
 * objects stay. */
typedef void fakecuda_reset_fn(void);
void fakecuda_reset(void);

/* A reset that also destroys every object and reads the environment again, as if
 * another machine had come under the running process. cuInit stays done; in the
 * child of a process that did it, it can be done again. */
typedef void fakecuda_restart_fn(void);
void fakecuda_restart(void);

/* The n-th call from now that can fail (1 is the next) fails with `result`; 0
 * takes the plan back. A call that gives something back (free, unload, destroy,
 * release, pop, end of capture) does so all the same, as a driver does that
 * reports an older error. */
typedef void fakecuda_fail_nth_fn(uint64_t n, int result);
void fakecuda_fail_nth(uint64_t n, int result);

/* Every call of this function fails with `result`; 0 takes that back. */
typedef void fakecuda_fail_call_fn(const char *name, int result);
void fakecuda_fail_call(const char *name, int result);

/* What is alive. Objects that went down with their context were leaked by whoever
 * made them, so they stay in these counts until fakecuda_restart(). */
struct fakecuda_counts {
  uint64_t allocs, host_allocs, modules;
  uint64_t contexts; /* created ones, and one for each retained reference of a primary one */
  uint64_t streams, events, graphs, graph_execs;
};
typedef void fakecuda_live_fn(struct fakecuda_counts *out);
void fakecuda_live(struct fakecuda_counts *out);

/* What the driver complained about last; "" when nothing. The text is this
 * thread's, valid until its next call. */
typedef const char *fakecuda_message_fn(void);
const char *fakecuda_message(void);

/* The launch bound of the kernel of that name that is compiled in; 0 when there is none. */
typedef uint32_t fakecuda_kernel_threads_fn(const char *name);
uint32_t fakecuda_kernel_threads(const char *name);

/* The last kernel launch that was run, whether plain or from a graph. */
struct fakecuda_launch {
  char name[128];
  uint32_t grid[3], block[3];
  uint32_t shared_bytes; /* dynamic */
  uint32_t programmatic; /* launched with programmatic stream serialization */
  uint64_t count;        /* launches since the last reset */
};
typedef void fakecuda_last_launch_fn(struct fakecuda_launch *out);
void fakecuda_last_launch(struct fakecuda_launch *out);

#ifdef __cplusplus
}
#endif
#endif

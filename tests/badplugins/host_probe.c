/* SPDX-License-Identifier: MIT */

/* plan() tries every service of the host table and always fails: with the first
 * service that breaks its word, or with "all services keep their word". */
#define FAKE_NAME "host_probe"
#define FAKE_INIT keep_host
#define FAKE_PLAN_BODY return probe(state)
#include <stdatomic.h>
#include <string.h>
#include <weir/plugin.h>

enum { TASKS = 1000 };

static weir_status keep_host(const weir_host *host, void **out_state) {
  *out_state = (void *)host;
  return WEIR_OK;
}

static void count(void *arg, uint32_t index) {
  atomic_fetch_add((atomic_uint *)arg + index, 1);
}

static weir_status probe(const weir_host *host) {
  if (host->struct_size < sizeof *host || host->abi_major != WEIR_ABI_MAJOR) {
    return host->fail(host, WEIR_E_ABI, "host table of %u bytes, abi %u", host->struct_size, host->abi_major);
  }
  unsigned char *memory = host->memory_alloc(host, 1000);
  if (memory == NULL || (uintptr_t)memory % 64 != 0) {
    return host->fail(host, WEIR_E_INTERNAL, "memory_alloc gave %p", (void *)memory);
  }
  memset(memory, 1, 1000);
  host->memory_free(host, memory);
  host->memory_free(host, NULL);
  if (host->memory_alloc(host, SIZE_MAX - 100) != NULL) {
    return host->fail(host, WEIR_E_INTERNAL, "memory_alloc gave what nobody has");
  }
  if (host->thread_count(host) == 0) {
    return host->fail(host, WEIR_E_INTERNAL, "thread_count is 0");
  }
  atomic_uint done[TASKS];
  for (unsigned i = 0; i < TASKS; i++) {
    atomic_init(&done[i], 0);
  }
  host->parallel(host, 0, count, done);
  host->parallel(host, TASKS, count, done);
  for (unsigned i = 0; i < TASKS; i++) {
    if (atomic_load(&done[i]) != 1) {
      return host->fail(host, WEIR_E_INTERNAL, "task %u ran %u times", i, atomic_load(&done[i]));
    }
  }
  if (host->fail(host, WEIR_E_SHAPE, "not a failure") != WEIR_E_SHAPE) {
    return host->fail(host, WEIR_E_INTERNAL, "fail() does not return its code");
  }
  return host->fail(host, WEIR_E_UNSUPPORTED, "all services keep their word");
}

#include "fake.h"

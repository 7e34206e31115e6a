/* SPDX-License-Identifier: MIT */
#include "stand_in.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;

const char *fake(const char *file) {
  const char *directory = getenv("WEIR_TEST_FAKECUDA");
  ck_assert_msg(directory != NULL, "WEIR_TEST_FAKECUDA names no directory");
  return file_in(directory, file);
}

void *control(const char *name) {
  if (library == NULL) library = dlopen(fake("libcuda.so.1"), RTLD_NOW | RTLD_LOCAL);
  ck_assert_msg(library != NULL, "%s", dlerror());
  void *symbol = dlsym(library, name);
  ck_assert_msg(symbol != NULL, "%s is missing", name);
  return symbol;
}

weir_runtime *open_cuda(const char *driver) {
  clear_environment();
  weir_options options = {.struct_size = sizeof options,
                          .plugin_path = plugin_directory(),
                          .ptx_path = getenv("WEIR_TEST_PTX"),
                          .cuda_library = fake(driver)};
  weir_runtime *runtime = NULL;
  ASSERT_OK(weir_open(&options, &runtime));
  return runtime;
}

void machine(const char *devices, const char *version) {
  if (devices) setenv("FAKECUDA_DEVICES", devices, 1);
  else unsetenv("FAKECUDA_DEVICES");
  if (version) setenv("FAKECUDA_DRIVER", version, 1);
  else unsetenv("FAKECUDA_DRIVER");
  CONTROL(fakecuda_restart)();
}

void assert_nothing_lives(const char *after) {
  struct fakecuda_counts live;
  CONTROL(fakecuda_live)(&live);
  uint64_t all = live.allocs + live.host_allocs + live.modules + live.contexts + live.streams + live.events +
                 live.graphs + live.graph_execs;
  ck_assert_msg(all == 0, "%s leaves %u allocations, %u modules, %u contexts, %u streams, %u events, %u graphs", after,
                (unsigned)live.allocs, (unsigned)live.modules, (unsigned)live.contexts, (unsigned)live.streams,
                (unsigned)live.events, (unsigned)(live.graphs + live.graph_execs));
}

void assert_every_driver_call_may_fail(weir_runtime *runtime, everything_fn everything, const void *of, unsigned least) {
  bool solved = false;
  unsigned failed = 0;
  ASSERT_OK(everything(runtime, of, &solved));
  ck_assert(solved);
  CONTROL(fakecuda_reset)();
  ASSERT_OK(everything(runtime, of, &solved));
  uint64_t calls = CONTROL(fakecuda_calls)(NULL);
  ck_assert_uint_gt(calls, 20);
  for (uint64_t n = 1; n <= calls; n++) {
    CONTROL(fakecuda_reset)();
    CONTROL(fakecuda_fail_nth)(n, 999);
    weir_status status = everything(runtime, of, &solved);
    if (status) {
      failed++;
      ck_assert_msg(status == WEIR_E_DRIVER, "call %u: %s", (unsigned)n, weir_last_error());
      ASSERT_NAMES(weir_last_error(), "999");
    } else {
      ck_assert_msg(solved, "call %u failed unnoticed and the result is wrong", (unsigned)n);
    }
    CONTROL(fakecuda_fail_nth)(0, 0);
    char after[64];
    snprintf(after, sizeof after, "failing call %u of %u", (unsigned)n, (unsigned)calls);
    assert_nothing_lives(after);
    ASSERT_OK(everything(runtime, of, &solved));
    ck_assert_msg(solved, "%s: the runtime does not work afterwards", after);
  }
  ck_assert_uint_gt(failed, least);
}

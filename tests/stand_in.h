/* SPDX-License-Identifier: MIT */

/* What the suites on the stand-in driver share. */
#ifndef WEIR_TESTS_STAND_IN_H
#define WEIR_TESTS_STAND_IN_H

#include "fakecuda/fakecuda.h"
#include "support.h"

/* A function of fakecuda.h, or of the driver, in the library that is under test. */
#define CONTROL(name) ((name##_fn *)control(#name))
void *control(const char *name);

/* The path of a file beside the stand-in driver. */
const char *fake(const char *file);
/* A runtime of all plugins on this driver file, ready to be asked for devices. */
weir_runtime *open_cuda(const char *driver);
/* Another machine, as FAKECUDA_DEVICES and FAKECUDA_DRIVER describe it; null: the usual one. */
void machine(const char *devices, const char *version);
void assert_nothing_lives(const char *after);

/* Opens a device, plans, computes, and closes all; whether the result is right. */
typedef weir_status (*everything_fn)(weir_runtime *runtime, const void *of, bool *out_solved);
/* Every driver call of it fails in turn: a clean error, nothing left, and the runtime works
 * afterwards. Calls that give something back may fail unnoticed; more than `least` may not. */
void assert_every_driver_call_may_fail(weir_runtime *runtime, everything_fn everything, const void *of, unsigned least);

#endif

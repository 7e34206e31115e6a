/* SPDX-License-Identifier: MIT */

/* Well-behaved; promises that it may be unloaded. */
#define FAKE_NAME "unloadable"
#define FAKE_FLAGS WEIR_PLUGIN_UNLOADABLE
#define FAKE_MARK 60.0f
#include "fake.h"

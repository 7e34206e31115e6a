/* SPDX-License-Identifier: MIT */

/* Refuses to start, with a sentence. */
#define FAKE_NAME "init_fails"
#define FAKE_INIT fail_to_start
#include <weir/plugin.h>

static weir_status fail_to_start(const weir_host *host, void **out_state) {
  *out_state = NULL;
  return host->fail(host, WEIR_E_NODEVICE, "the abacus has %d beads too few", 7);
}

#include "fake.h"

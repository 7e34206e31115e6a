/* SPDX-License-Identifier: MIT */

/* Refuses to start and does not say why. */
#define FAKE_NAME "init_fails_silently"
#define FAKE_INIT fail_to_start
#include <weir/plugin.h>

static weir_status fail_to_start(const weir_host *host, void **out_state) {
  (void)host;
  (void)out_state;
  return WEIR_E_NOMEM;
}

#include "fake.h"

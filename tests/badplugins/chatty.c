/* SPDX-License-Identifier: MIT */

/* Well-behaved; writes one line of each level when it starts, one when it ends. */
#define FAKE_NAME "chatty"
#define FAKE_FLAGS WEIR_PLUGIN_UNLOADABLE
#define FAKE_INIT start
#define FAKE_FINI end
#include <weir/plugin.h>

static weir_status start(const weir_host *host, void **out_state) {
  host->log(host, WEIR_LOG_ERROR, "says error %d", 1);
  host->log(host, WEIR_LOG_WARN, "says warn %d", 2);
  host->log(host, WEIR_LOG_INFO, "says info %d", 3);
  host->log(host, WEIR_LOG_DEBUG, "says debug %d", 4);
  host->log(host, WEIR_LOG_TRACE, "says trace %d", 5);
  *out_state = (void *)host;
  return WEIR_OK;
}

static void end(void *state) {
  const weir_host *host = state;
  host->log(host, WEIR_LOG_ERROR, "says goodbye");
}

#include "fake.h"

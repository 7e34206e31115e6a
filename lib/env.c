/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>

#include "internal.h"

const char *env_plain(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

const char *env_code(struct log *log, const char *name) {
  const char *value = secure_getenv(name);
  if (value) return *value ? value : NULL;
  if (env_plain(name))
    log_line(log, WEIR_LOG_WARN, "env",
             "%s is ignored, because this process runs with more rights than its caller; "
             "use the options of weir_open instead",
             name);
  return NULL;
}

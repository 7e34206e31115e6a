/* SPDX-License-Identifier: MIT */

/* What a run of the conformance suite says of its latest case. */
#ifndef WEIR_TESTS_WITNESS_H
#define WEIR_TESTS_WITNESS_H

#include <stdio.h>

#include "conform.h"

struct witness {
  enum conform_status status;
  char check[32], detail[640];
  uint32_t count; /* of cases */
};

/* A conform_result function; user is the witness. */
static inline void remember(void *user, const struct conform_result *result) {
  struct witness *witness = user;
  witness->status = result->status;
  snprintf(witness->check, sizeof witness->check, "%s", result->check);
  snprintf(witness->detail, sizeof witness->detail, "%s", result->detail);
  witness->count++;
}

#endif

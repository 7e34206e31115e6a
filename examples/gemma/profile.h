/* SPDX-License-Identifier: MIT */

/* profile.h: the time of each operation of a step, by events of the device or by the clock. */
#ifndef GEMMA_PROFILE_H
#define GEMMA_PROFILE_H

#include "library.h"

/* Of a clock that only goes forward. */
double gemma_seconds(void);

typedef struct gemma_profile gemma_profile;

weir_status gemma_profile_open(weir_device *device, weir_stream stream, gemma_profile **out_profile);
void gemma_profile_close(gemma_profile *profile);
typedef enum gemma_phase { GEMMA_PREFILL, GEMMA_DECODE, GEMMA_PHASES } gemma_phase;

/* Starts a step. With a null profile this and the next two do nothing. */
weir_status gemma_profile_begin(gemma_profile *profile, gemma_phase phase);
/* What was enqueued since the last mark was this operation, by this plugin ("" for the
 * program's own kernels). Both texts must live as long as the profile. */
weir_status gemma_profile_mark(gemma_profile *profile, const char *operation, const char *plugin);
/* Waits for the step and adds its times up. */
weir_status gemma_profile_end(gemma_profile *profile);

typedef struct gemma_profile_line {
  const char *operation, *plugin;
  uint32_t calls; /* of all steps */
  double seconds; /* likewise */
} gemma_profile_line;
/* Of the steps of a phase, in the order of their first call. */
const gemma_profile_line *gemma_profile_lines(const gemma_profile *profile, gemma_phase phase, uint32_t *out_count,
                                              uint32_t *out_steps);

#endif

/* SPDX-License-Identifier: MIT */
#include "profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINES_MOST = 64, MARKS_MOST = 16384 };

typedef struct mark {
  weir_event *event; /* null on the CPU */
  double seconds;    /* on the CPU */
  uint32_t line;
} mark;

struct gemma_profile {
  weir_device *device;
  weir_stream stream;
  bool has_events;
  struct {
    gemma_profile_line line[LINES_MOST];
    uint32_t lines, steps;
  } of[GEMMA_PHASES];
  gemma_phase phase; /* of this step */
  mark *mark; /* [0] is the beginning of the step */
  uint32_t marks;
};

double gemma_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

weir_status gemma_profile_open(weir_device *device, weir_stream stream, gemma_profile **out_profile) {
  gemma_profile *profile = calloc(1, sizeof *profile);
  *out_profile = profile;
  if (profile) profile->mark = calloc(MARKS_MOST, sizeof *profile->mark);
  if (!profile || !profile->mark) {
    gemma_profile_close(profile);
    *out_profile = NULL;
    return gemma_fail(WEIR_E_NOMEM, "no memory for a profile");
  }
  profile->device = device;
  profile->stream = stream;
  profile->has_events = stream != NULL;
  return WEIR_OK;
}

void gemma_profile_close(gemma_profile *profile) {
  if (!profile) return;
  for (uint32_t i = 0; i < MARKS_MOST && profile->mark; i++) weir->event_destroy(profile->mark[i].event);
  free(profile->mark);
  free(profile);
}

static weir_status stamp(gemma_profile *profile, uint32_t line) {
  mark *mark = &profile->mark[profile->marks];
  weir_status status = WEIR_OK;
  if (profile->marks == MARKS_MOST)
    return gemma_fail(WEIR_E_UNSUPPORTED, "a step has more than %d operations, too many for --profile", MARKS_MOST);
  profile->marks++;
  mark->line = line;
  if (!profile->has_events) {
    mark->seconds = gemma_seconds();
    return WEIR_OK;
  }
  if (!mark->event) status = weir->event_create(profile->device, &mark->event);
  return status ? status : weir->event_record(mark->event, profile->stream);
}

weir_status gemma_profile_begin(gemma_profile *profile, gemma_phase phase) {
  if (!profile) return WEIR_OK;
  profile->phase = phase;
  profile->marks = 0;
  return stamp(profile, 0);
}

weir_status gemma_profile_mark(gemma_profile *profile, const char *operation, const char *plugin) {
  uint32_t line = 0;
  if (!profile) return WEIR_OK;
  gemma_profile_line *lines = profile->of[profile->phase].line;
  uint32_t *count = &profile->of[profile->phase].lines;
  while (line < *count &&
         (strcmp(lines[line].operation, operation) != 0 || strcmp(lines[line].plugin, plugin) != 0))
    line++;
  if (line == LINES_MOST)
    return gemma_fail(WEIR_E_UNSUPPORTED, "there are more than %d kinds of operations, too many for --profile", LINES_MOST);
  if (line == *count) lines[(*count)++] = (gemma_profile_line){.operation = operation, .plugin = plugin};
  return stamp(profile, line);
}

weir_status gemma_profile_end(gemma_profile *profile) {
  weir_status status = WEIR_OK;
  if (!profile) return WEIR_OK;
  for (uint32_t i = 1; i < profile->marks && !status; i++) {
    const mark *before = &profile->mark[i - 1], *mark = &profile->mark[i];
    float milliseconds = 0;
    if (profile->has_events) status = weir->event_elapsed(before->event, mark->event, &milliseconds);
    gemma_profile_line *line = &profile->of[profile->phase].line[mark->line];
    line->calls++;
    line->seconds += profile->has_events ? 1e-3 * milliseconds : mark->seconds - before->seconds;
  }
  profile->of[profile->phase].steps++;
  return status;
}

const gemma_profile_line *gemma_profile_lines(const gemma_profile *profile, gemma_phase phase, uint32_t *out_count,
                                              uint32_t *out_steps) {
  *out_count = profile->of[phase].lines;
  *out_steps = profile->of[phase].steps;
  return profile->of[phase].line;
}

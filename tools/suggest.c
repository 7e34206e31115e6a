/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 63 };

/* Edit distance with insertions, deletions, substitutions and swapped neighbours. */
static size_t distance(const char *a, const char *b) {
  size_t a_length = strlen(a), b_length = strlen(b);
  unsigned char row[3][LONGEST + 1];
  if (a_length > LONGEST || b_length > LONGEST) return LONGEST;
  for (size_t j = 0; j <= b_length; j++) row[0][j] = (unsigned char)j;
  for (size_t i = 1; i <= a_length; i++) {
    unsigned char *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
    now[0] = (unsigned char)i;
    for (size_t j = 1; j <= b_length; j++) {
      unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
      if (best > last[j] + 1u) best = last[j] + 1u;
      if (best > now[j - 1] + 1u) best = now[j - 1] + 1u;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && best > before[j - 2] + 1u)
        best = before[j - 2] + 1u;
      now[j] = (unsigned char)best;
    }
  }
  return row[a_length % 3][b_length];
}

const char *suggest_nearest(const char *text, const char *const *names, size_t count) {
  size_t length = strlen(text), limit = length < 4 ? 1 : length < 7 ? 2 : length / 3, best = limit + 1;
  const char *found = NULL;
  if (length < 2) return NULL;
  for (size_t i = 0; i < count; i++) {
    size_t away = distance(text, names[i]);
    if (length >= 3 && strncmp(names[i], text, length) == 0) away = away > 1 ? 1 : away;
    if (away < best) {
      best = away;
      found = names[i];
    }
  }
  return found;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

void text_add(struct text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int more = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (more < 0 || text->failed) return;
  size_t needed = text->length + (size_t)more + 1;
  if (needed > text->capacity) {
    size_t capacity = needed * 2;
    char *data = realloc(text->data, capacity);
    if (!data) {
      text->failed = true;
      return;
    }
    text->data = data;
    text->capacity = capacity;
  }
  va_start(args, format);
  vsnprintf(text->data + text->length, (size_t)more + 1, format, args);
  va_end(args);
  text->length += (size_t)more;
}

void text_free(struct text *text) {
  free(text->data);
  *text = (struct text){0};
}

char *text_copy(const char *text, size_t length) {
  char *copy = malloc(length + 1);
  if (!copy) return NULL;
  memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

enum { NEAREST_LONGEST = 63 };

static size_t edit_distance(const char *a, const char *b) {
  size_t la = strlen(a), lb = strlen(b);
  if (la > NEAREST_LONGEST || lb > NEAREST_LONGEST) return SIZE_MAX;
  size_t row[NEAREST_LONGEST + 1];
  for (size_t j = 0; j <= lb; j++) row[j] = j;
  for (size_t i = 1; i <= la; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= lb; j++) {
      size_t best = diagonal + (a[i - 1] != b[j - 1]);
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row[lb];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count) {
  const char *nearest = NULL;
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < count; i++) {
    size_t distance = edit_distance(word, candidates[i]);
    if (distance < least) {
      least = distance;
      nearest = candidates[i];
    }
  }
  return nearest;
}

/* SPDX-License-Identifier: MIT */

#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void new_line(struct json *json) {
  fputc('\n', json->file);
  for (unsigned i = 0; i < json->depth; ++i) {
    fputs("  ", json->file);
  }
}

/* Everything that goes between the previous token and a value or key. */
static void separate(struct json *json) {
  if (json->after_key) {
    json->after_key = 0;
    return;
  }
  if (json->depth == 0) {
    return;
  }
  uint64_t bit = UINT64_C(1) << (json->depth - 1);
  if (json->populated & bit) {
    fputc(',', json->file);
  }
  json->populated |= bit;
  new_line(json);
}

static void open_container(struct json *json, char bracket) {
  separate(json);
  fputc(bracket, json->file);
  json->populated &= ~(UINT64_C(1) << json->depth);
  json->depth++;
}

static void close_container(struct json *json, char bracket) {
  json->depth--;
  if (json->populated & (UINT64_C(1) << json->depth)) {
    new_line(json);
  }
  fputc(bracket, json->file);
}

/* Length of the well-formed UTF-8 sequence at `text`, 0 when it is not one. */
static size_t sequence_length(const unsigned char *text) {
  static const struct {
    unsigned char first, last, second_min, second_max;
    size_t length;
  } rows[] = {
      {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
      {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
      {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
  };
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; ++r) {
    if (text[0] < rows[r].first || text[0] > rows[r].last) {
      continue;
    }
    for (size_t i = 1; i < rows[r].length; ++i) {
      unsigned char low = i == 1 ? rows[r].second_min : 0x80, high = i == 1 ? rows[r].second_max : 0xbf;
      if (text[i] < low || text[i] > high) {
        return 0;
      }
    }
    return rows[r].length;
  }
  return 0;
}

/* `text` is followed by a NUL. */
static void quote(FILE *file, const char *text, size_t bytes) {
  const unsigned char *at = (const unsigned char *)text, *end = at + bytes;
  fputc('"', file);
  while (at < end) {
    size_t length = *at ? sequence_length(at) : 1;
    if (length == 0) {
      fputs("\\ufffd", file);
      length = 1;
    } else if (*at == '"' || *at == '\\') {
      fprintf(file, "\\%c", *at);
    } else if (*at == '\n') {
      fputs("\\n", file);
    } else if (*at == '\t') {
      fputs("\\t", file);
    } else if (*at < 0x20 || *at == 0x7f) {
      fprintf(file, "\\u%04x", *at);
    } else {
      fwrite(at, 1, length, file);
    }
    at += length;
  }
  fputc('"', file);
}

void json_start(struct json *json, FILE *file) {
  memset(json, 0, sizeof *json);
  json->file = file;
}

void json_object_begin(struct json *json) { open_container(json, '{'); }
void json_object_end(struct json *json) { close_container(json, '}'); }
void json_array_begin(struct json *json) { open_container(json, '['); }
void json_array_end(struct json *json) { close_container(json, ']'); }

void json_key(struct json *json, const char *key) {
  separate(json);
  quote(json->file, key, strlen(key));
  fputs(": ", json->file);
  json->after_key = 1;
}

void json_string(struct json *json, const char *text) {
  if (!text) {
    json_null(json);
    return;
  }
  json_bytes(json, text, strlen(text));
}

void json_bytes(struct json *json, const char *text, size_t bytes) {
  separate(json);
  quote(json->file, text, bytes);
}

void json_int(struct json *json, int64_t value) {
  separate(json);
  fprintf(json->file, "%" PRId64, value);
}

void json_uint(struct json *json, uint64_t value) {
  separate(json);
  fprintf(json->file, "%" PRIu64, value);
}

void json_double(struct json *json, double value) {
  if (!isfinite(value)) {
    json_null(json);
    return;
  }
  char text[40];
  for (int digits = 6; digits <= 17; ++digits) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) {
      break;
    }
  }
  separate(json);
  fputs(text, json->file);
}

void json_bool(struct json *json, int value) {
  separate(json);
  fputs(value ? "true" : "false", json->file);
}

void json_null(struct json *json) {
  separate(json);
  fputs("null", json->file);
}

int json_finish(struct json *json) {
  fputc('\n', json->file);
  return fflush(json->file) || ferror(json->file) ? -1 : 0;
}

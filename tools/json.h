/* SPDX-License-Identifier: MIT */

/* Writes JSON to a stream, indented, one value at a time:
 *
 *   struct json json;
 *   json_start(&json, stdout);
 *   json_object_begin(&json);
 *   json_key(&json, "plugin");
 *   json_string(&json, "cpu");
 *   json_object_end(&json);
 *   status = json_finish(&json);
 */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include <stdint.h>
#include <stdio.h>

struct json {
  FILE *file;
  unsigned depth;     /* open objects and arrays, at most 64 */
  uint64_t populated; /* bit d: the container at depth d has a member */
  int after_key;
};

void json_start(struct json *json, FILE *file);
void json_object_begin(struct json *json);
void json_object_end(struct json *json);
void json_array_begin(struct json *json);
void json_array_end(struct json *json);
void json_key(struct json *json, const char *key);
/* Bytes that are not UTF-8 are written as U+FFFD. Null gives null. */
void json_string(struct json *json, const char *text);
/* The same of so many bytes, NUL among them, and a NUL behind. */
void json_bytes(struct json *json, const char *text, size_t bytes);
void json_int(struct json *json, int64_t value);
void json_uint(struct json *json, uint64_t value);
/* Shortest text that reads back as `value`; NaN and infinities give null. */
void json_double(struct json *json, double value);
void json_bool(struct json *json, int value);
void json_null(struct json *json);
/* Ends the line and flushes. 0, or -1 when anything could not be written. */
int json_finish(struct json *json);

#endif

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "synth.h"

enum { VALUE_U32 = 4, VALUE_F32 = 6, VALUE_BOOL = 7, VALUE_STRING = 8, VALUE_ARRAY = 9 };

void synth_put(struct synth_file *file, const void *bytes, size_t size) {
  if (file->error) return;
  errno = 0;
  if (fwrite(bytes, 1, size, file->stream) != size) file->error = errno ? errno : EIO;
  file->size += size;
}

void synth_put_number(struct synth_file *file, uint64_t value, size_t bytes) {
  uint8_t text[8];
  for (size_t i = 0; i < bytes; i++) text[i] = (uint8_t)(value >> 8 * i);
  synth_put(file, text, bytes);
}

void synth_put_text(struct synth_file *file, const char *text) {
  synth_put_number(file, strlen(text), 8);
  synth_put(file, text, strlen(text));
}

void synth_pad(struct synth_file *file, uint64_t alignment) {
  while (!file->error && file->size % alignment) synth_put_number(file, 0, 1);
}

static void put_key(struct synth_file *file, const char *key, uint32_t type) {
  synth_put_text(file, key);
  synth_put_number(file, type, 4);
}

void synth_put_u32(struct synth_file *file, const char *key, uint32_t value) {
  put_key(file, key, VALUE_U32);
  synth_put_number(file, value, 4);
}

void synth_put_f32(struct synth_file *file, const char *key, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_key(file, key, VALUE_F32);
  synth_put_number(file, bits, 4);
}

void synth_put_bool(struct synth_file *file, const char *key, bool value) {
  put_key(file, key, VALUE_BOOL);
  synth_put_number(file, value, 1);
}

void synth_put_string(struct synth_file *file, const char *key, const char *value) {
  put_key(file, key, VALUE_STRING);
  synth_put_text(file, value);
}

void synth_put_array(struct synth_file *file, const char *key, uint32_t element, uint64_t count) {
  put_key(file, key, VALUE_ARRAY);
  synth_put_number(file, element, 4);
  synth_put_number(file, count, 8);
}

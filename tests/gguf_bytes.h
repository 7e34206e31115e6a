/* SPDX-License-Identifier: MIT */

/* GGUF files written byte by byte, good ones and broken ones. */
#ifndef WEIR_TESTS_GGUF_BYTES_H
#define WEIR_TESTS_GGUF_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Value types of metadata. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

typedef struct buffer {
  uint8_t *data;
  size_t size, capacity;
} buffer;

static inline void put(buffer *b, const void *bytes, size_t size) {
  if (b->size + size > b->capacity) {
    b->capacity = 2 * (b->size + size);
    b->data = realloc(b->data, b->capacity);
    if (!b->data) abort();
  }
  if (size) memcpy(b->data + b->size, bytes, size);
  b->size += size;
}

static inline void put_number(buffer *b, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; i++) put(b, &(uint8_t){(uint8_t)(i < 8 ? value >> 8 * i : 0)}, 1);
}

static inline void put_text(buffer *b, const char *text) {
  put_number(b, strlen(text), 8);
  put(b, text, strlen(text));
}

static inline void put_header(buffer *b, uint32_t version, uint64_t tensors, uint64_t keys) {
  b->size = 0;
  put(b, "GGUF", 4);
  put_number(b, version, 4);
  put_number(b, tensors, 8);
  put_number(b, keys, 8);
}

static inline void put_key(buffer *b, const char *key, uint32_t type) {
  put_text(b, key);
  put_number(b, type, 4);
}

static inline void put_array(buffer *b, const char *key, uint32_t element, uint64_t count) {
  put_key(b, key, ARRAY);
  put_number(b, element, 4);
  put_number(b, count, 8);
}

static inline void put_tensor(buffer *b, const char *name, uint32_t dim_count, const uint64_t *dims, uint32_t type,
                       uint64_t offset) {
  put_text(b, name);
  put_number(b, dim_count, 4);
  for (uint32_t i = 0; i < dim_count; i++) put_number(b, dims[i], 8);
  put_number(b, type, 4);
  put_number(b, offset, 8);
}

static inline void put_padding(buffer *b, size_t alignment) {
  while (b->size % alignment) put_number(b, 0, 1);
}

#define DIMS(...) ((const uint64_t[]){__VA_ARGS__})

static const char *const sample_keys[] = {
    "u8",     "i8",   "u16",     "i16",   "u32",   "i32",    "f32",   "bool", "text", "u64",
    "u64big", "i64",  "f64",     "words", "bytes", "shorts", "halves", "nest", "none", "general.alignment",
    "doubles", "flags",
};
enum { SAMPLE_KEYS = sizeof sample_keys / sizeof sample_keys[0], SAMPLE_TENSORS = 4 };

/* All value types; tensors F32 [3,2], Q4_0 [32,2], Q8_0 [32], and one of type 99. */
static inline void make_sample(buffer *b, uint32_t version) {
  put_header(b, version, SAMPLE_TENSORS, SAMPLE_KEYS);
  put_key(b, "u8", U8), put_number(b, 200, 1);
  put_key(b, "i8", I8), put_number(b, 0x80, 1);
  put_key(b, "u16", U16), put_number(b, 60000, 2);
  put_key(b, "i16", I16), put_number(b, 0x8000, 2);
  put_key(b, "u32", U32), put_number(b, 4000000000u, 4);
  put_key(b, "i32", I32), put_number(b, 0x80000000u, 4);
  put_key(b, "f32", F32), put_number(b, 0x3fc00000, 4);
  put_key(b, "bool", BOOL), put_number(b, 1, 1);
  put_key(b, "text", STRING), put_text(b, "two words");
  put_key(b, "u64", U64), put_number(b, INT64_MAX, 8);
  put_key(b, "u64big", U64), put_number(b, UINT64_C(1) << 63, 8);
  put_key(b, "i64", I64), put_number(b, UINT64_C(1) << 63, 8);
  put_key(b, "f64", F64), put_number(b, UINT64_C(0xc004000000000000), 8);
  put_array(b, "words", STRING, 3), put_text(b, "a"), put_text(b, ""), put_text(b, "ccc");
  put_array(b, "bytes", U8, 3), put_number(b, 0x0301ff, 3);
  put_array(b, "shorts", I16, 2), put_number(b, 0x0007fffe, 4);
  put_array(b, "halves", F32, 2), put_number(b, UINT64_C(0xbf0000003f000000), 8);
  put_array(b, "nest", ARRAY, 2);
  put_number(b, U8, 4), put_number(b, 2, 8), put_number(b, 0, 2);
  put_number(b, STRING, 4), put_number(b, 1, 8), put_text(b, "deep");
  put_array(b, "none", STRING, 0);
  put_key(b, "general.alignment", U32), put_number(b, 64, 4);
  put_array(b, "doubles", F64, 1), put_number(b, UINT64_C(0x3ff8000000000000), 8);
  put_array(b, "flags", BOOL, 2), put_number(b, 0x0100, 2);
  put_tensor(b, "blk.0.small", 2, DIMS(3, 2), 0, 0);
  put_tensor(b, "blk.0.q4", 2, DIMS(32, 2), 2, 64);
  put_tensor(b, "future", 3, DIMS(5, 6, 7), 99, 12345);
  put_tensor(b, "blk.0.q8", 1, DIMS(32), 8, 128);
  put_padding(b, 64);
  for (int i = 0; i < 6; i++) put_number(b, 0x3f800000, 4);
  put_padding(b, 64);
  for (int i = 0; i < 36; i++) put_number(b, (uint64_t)i, 1);
  put_padding(b, 64);
  for (int i = 0; i < 34; i++) put_number(b, (uint64_t)(100 + i), 1);
}

#endif

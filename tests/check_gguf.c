/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gguf_bytes.h"
#include "support.h"

static const char *path;

static int descriptor; /* of the file that survives() rewrites; 0: none yet */

static void setup(void) { path = file_in(make_directory(), "model.gguf"); }

static void teardown(void) {
  if (descriptor > 0) close(descriptor);
  descriptor = 0;
  remove_directory();
}

/* ---- Opening what was written ---- */

static weir_gguf *open_bytes(const buffer *b) {
  weir_gguf *gguf = NULL;
  write_file(path, b->data, b->size);
  ASSERT_OK(weir_gguf_open(path, &gguf));
  ck_assert_ptr_nonnull(gguf);
  return gguf;
}

#define REFUSED(b, ...)                                                      \
  do {                                                                       \
    weir_gguf *gguf = (weir_gguf *)1;                                        \
    write_file(path, (b)->data, (b)->size);                                  \
    ASSERT_FAILS(weir_gguf_open(path, &gguf), WEIR_E_FORMAT, path, __VA_ARGS__); \
    ck_assert_ptr_null(gguf);                                                \
  } while (0)

/* ---- What a good file says ---- */

static void assert_int(const weir_gguf *gguf, const char *key, int64_t want) {
  int64_t value = 77;
  ASSERT_OK(weir_gguf_int(gguf, key, &value));
  ck_assert_msg(value == want, "%s is %lld, not %lld", key, (long long)value, (long long)want);
}

START_TEST(scalars_are_read) {
  buffer b = {0};
  make_sample(&b, 2 + (uint32_t)_i);
  weir_gguf *gguf = open_bytes(&b);
  assert_int(gguf, "u8", 200);
  assert_int(gguf, "i8", -128);
  assert_int(gguf, "u16", 60000);
  assert_int(gguf, "i16", -32768);
  assert_int(gguf, "u32", 4000000000);
  assert_int(gguf, "i32", INT32_MIN);
  assert_int(gguf, "bool", 1);
  assert_int(gguf, "u64", INT64_MAX);
  assert_int(gguf, "i64", INT64_MIN);
  double value = 7;
  ASSERT_OK(weir_gguf_float(gguf, "f32", &value));
  ck_assert_double_eq(value, 1.5);
  ASSERT_OK(weir_gguf_float(gguf, "f64", &value));
  ck_assert_double_eq(value, -2.5);
  const char *text = NULL;
  uint64_t length = 0;
  ASSERT_OK(weir_gguf_string(gguf, "text", &text, &length));
  ck_assert_uint_eq(length, 9);
  ck_assert_mem_eq(text, "two words", 9);
  weir_gguf_close(gguf);
  free(b.data);
}
END_TEST

START_TEST(arrays_are_read) {
  buffer b = {0};
  make_sample(&b, 3);
  weir_gguf *gguf = open_bytes(&b);
  static const struct {
    const char *key;
    uint64_t count;
  } counts[] = {{"words", 3}, {"bytes", 3}, {"shorts", 2}, {"halves", 2}, {"nest", 2}, {"none", 0}, {"flags", 2}};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    uint64_t count = 99;
    ASSERT_OK(weir_gguf_array_count(gguf, counts[i].key, &count));
    ck_assert_uint_eq(count, counts[i].count);
  }
  static const char *const words[] = {"a", "", "ccc"};
  for (uint64_t i = 0; i < 3; i++) {
    const char *text = NULL;
    uint64_t length = 99;
    ASSERT_OK(weir_gguf_array_string(gguf, "words", i, &text, &length));
    ck_assert_uint_eq(length, strlen(words[i]));
    ck_assert(memcmp(text, words[i], (size_t)length) == 0);
  }
  static const struct {
    const char *key;
    uint64_t index;
    int64_t value;
  } ints[] = {{"bytes", 0, 255}, {"bytes", 2, 3},  {"shorts", 0, -2},
              {"shorts", 1, 7},  {"flags", 0, 0}, {"flags", 1, 1}};
  for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
    int64_t value = 99;
    ASSERT_OK(weir_gguf_array_int(gguf, ints[i].key, ints[i].index, &value));
    ck_assert_int_eq(value, ints[i].value);
  }
  double value = 0;
  ASSERT_OK(weir_gguf_array_float(gguf, "halves", 1, &value));
  ck_assert_double_eq(value, -0.5);
  ASSERT_OK(weir_gguf_array_float(gguf, "doubles", 0, &value));
  ck_assert_double_eq(value, 1.5);
  weir_gguf_close(gguf);
  free(b.data);
}
END_TEST

START_TEST(wrong_questions_are_refused) {
  buffer b = {0};
  make_sample(&b, 3);
  weir_gguf *gguf = open_bytes(&b);
  int64_t value = 1;
  double real = 1;
  const char *text = path;
  uint64_t length = 1;
  ASSERT_FAILS(weir_gguf_int(gguf, "absent", &value), WEIR_E_NOTFOUND, path, "absent");
  ck_assert_int_eq(value, 0);
  ASSERT_FAILS(weir_gguf_int(gguf, "f32", &value), WEIR_E_TYPE, "f32", "integer");
  ASSERT_FAILS(weir_gguf_int(gguf, "text", &value), WEIR_E_TYPE, "text", "string");
  ASSERT_FAILS(weir_gguf_int(gguf, "bytes", &value), WEIR_E_TYPE, "bytes", "array", "u8");
  ASSERT_FAILS(weir_gguf_int(gguf, "u64big", &value), WEIR_E_TYPE, "u64big", "9223372036854775808");
  ASSERT_FAILS(weir_gguf_float(gguf, "u32", &real), WEIR_E_TYPE, "u32", "float");
  ASSERT_FAILS(weir_gguf_string(gguf, "u32", &text, &length), WEIR_E_TYPE, "u32", "string");
  ck_assert_ptr_null(text);
  ck_assert_uint_eq(length, 0);
  ASSERT_FAILS(weir_gguf_array_count(gguf, "text", &length), WEIR_E_TYPE, "text", "no array");
  ASSERT_FAILS(weir_gguf_array_int(gguf, "bytes", 3, &value), WEIR_E_NOTFOUND, "bytes", "3");
  ASSERT_FAILS(weir_gguf_array_int(gguf, "words", 1, &value), WEIR_E_TYPE, "words", "string");
  ASSERT_FAILS(weir_gguf_array_int(gguf, "nest", 0, &value), WEIR_E_TYPE, "nest", "array");
  ASSERT_FAILS(weir_gguf_array_float(gguf, "bytes", 0, &real), WEIR_E_TYPE, "bytes", "float");
  ASSERT_FAILS(weir_gguf_array_string(gguf, "none", 0, &text, &length), WEIR_E_NOTFOUND, "none", "0");
  ASSERT_FAILS(weir_gguf_array_string(gguf, "bytes", 0, &text, &length), WEIR_E_TYPE, "bytes", "u8");
  ASSERT_FAILS(weir_gguf_int(gguf, NULL, &value), WEIR_E_NULL, "key");
  ASSERT_FAILS(weir_gguf_int(NULL, "u8", &value), WEIR_E_NULL, "gguf");
  ASSERT_FAILS(weir_gguf_int(gguf, "u8", NULL), WEIR_E_NULL, "out_value");
  ASSERT_FAILS(weir_gguf_string(gguf, "text", &text, NULL), WEIR_E_NULL, "out_length");
  weir_gguf_close(gguf);
  free(b.data);
}
END_TEST

START_TEST(tensors_are_listed_and_found) {
  buffer b = {0};
  make_sample(&b, 3);
  weir_gguf *gguf = open_bytes(&b);
  static const struct {
    const char *name, *type_name;
    uint32_t type, dim_count;
    uint64_t dims[4], bytes;
    int first, last; /* bytes of the data */
  } want[] = {
      {"blk.0.small", "F32", 0, 2, {3, 2, 1, 1}, 24, 0x00, 0x3f},
      {"blk.0.q4", "Q4_0", 2, 2, {32, 2, 1, 1}, 36, 0, 35},
      {"future", "unknown (99)", 99, 3, {5, 6, 7, 1}, 0, 0, 0},
      {"blk.0.q8", "Q8_0", 8, 1, {32, 1, 1, 1}, 34, 100, 133},
  };
  ck_assert_uint_eq(weir_gguf_tensor_count(gguf), SAMPLE_TENSORS);
  for (uint64_t i = 0; i < SAMPLE_TENSORS; i++) {
    weir_tensor listed = {.struct_size = sizeof listed}, found = {.struct_size = sizeof found};
    ASSERT_OK(weir_gguf_tensor(gguf, i, &listed));
    ASSERT_OK(weir_gguf_find(gguf, want[i].name, &found));
    ck_assert_mem_eq(&listed, &found, sizeof found);
    ck_assert_str_eq(listed.name, want[i].name);
    ck_assert_str_eq(listed.type_name, want[i].type_name);
    ck_assert_uint_eq(listed.type, want[i].type);
    ck_assert_uint_eq(listed.dim_count, want[i].dim_count);
    ck_assert_mem_eq(listed.dims, want[i].dims, sizeof listed.dims);
    ck_assert_uint_eq(listed.bytes, want[i].bytes);
    if (!want[i].bytes) {
      ck_assert_ptr_null(listed.data);
      continue;
    }
    const uint8_t *data = listed.data;
    ck_assert_uint_eq((uintptr_t)data % 64, 0);
    ck_assert_int_eq(data[0], want[i].first);
    ck_assert_int_eq(data[listed.bytes - 1], want[i].last);
  }
  weir_tensor tensor = {.struct_size = sizeof tensor, .bytes = 5};
  ASSERT_FAILS(weir_gguf_tensor(gguf, 4, &tensor), WEIR_E_NOTFOUND, path, "4");
  ck_assert_uint_eq(tensor.bytes, 0);
  ASSERT_FAILS(weir_gguf_find(gguf, "blk.0.q", &tensor), WEIR_E_NOTFOUND, path, "'blk.0.q'", "blk.0.q4");
  ASSERT_FAILS(weir_gguf_find(gguf, "zzz", &tensor), WEIR_E_NOTFOUND, "zzz", "future");
  ASSERT_FAILS(weir_gguf_find(gguf, "", &tensor), WEIR_E_NOTFOUND, path);
  ASSERT_FAILS(weir_gguf_find(gguf, NULL, &tensor), WEIR_E_NULL, "name");
  ASSERT_FAILS(weir_gguf_find(gguf, "future", NULL), WEIR_E_NULL, "weir_tensor");
  tensor.struct_size = 0;
  ASSERT_FAILS(weir_gguf_find(gguf, "future", &tensor), WEIR_E_ABI, "struct_size", "0");
  ck_assert_uint_eq(weir_gguf_tensor_count(NULL), 0);
  weir_gguf_close(gguf);
  weir_gguf_close(NULL);
  free(b.data);
}
END_TEST

/* A vocabulary as large as Gemma's, and a few thousand tensors. */
START_TEST(large_files_are_indexed) {
  enum { WORDS = 262144, TENSORS = 3000 };
  buffer b = {0};
  char text[32];
  put_header(&b, 3, TENSORS, 1);
  put_array(&b, "tokens", STRING, WORDS);
  for (uint32_t i = 0; i < WORDS; i++) {
    snprintf(text, sizeof text, "%x", i * 2654435761u);
    put_text(&b, text);
  }
  for (uint32_t i = 0; i < TENSORS; i++) {
    snprintf(text, sizeof text, "t%u", i * 7919 % TENSORS);
    put_tensor(&b, text, 1, DIMS(8), 0, 32 * (uint64_t)i);
  }
  put_padding(&b, 32);
  for (uint32_t i = 0; i < TENSORS * 8; i++) put_number(&b, i / 8, 4);
  weir_gguf *gguf = open_bytes(&b);
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < WORDS; i++) {
    const char *got = NULL;
    uint64_t length = 0;
    int expect = snprintf(text, sizeof text, "%x", i * 2654435761u);
    wrong += weir_gguf_array_string(gguf, "tokens", i, &got, &length) != WEIR_OK || length != (uint64_t)expect ||
             memcmp(got, text, (size_t)length) != 0;
  }
  ck_assert_uint_eq(wrong, 0);
  for (uint32_t i = 0; i < TENSORS; i++) {
    weir_tensor tensor = {.struct_size = sizeof tensor};
    uint32_t value = UINT32_MAX;
    snprintf(text, sizeof text, "t%u", i * 7919 % TENSORS);
    wrong += weir_gguf_find(gguf, text, &tensor) != WEIR_OK;
    if (tensor.data) memcpy(&value, tensor.data, sizeof value);
    wrong += value != i;
  }
  ck_assert_uint_eq(wrong, 0);
  weir_gguf_close(gguf);
  free(b.data);
}
END_TEST

/* ---- What is no GGUF file ---- */

START_TEST(files_that_cannot_be_read) {
  weir_gguf *gguf = NULL;
  char directory[1024];
  snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
  ASSERT_FAILS(weir_gguf_open(path, &gguf), WEIR_E_IO, path, "No such file");
  ASSERT_FAILS(weir_gguf_open(directory, &gguf), WEIR_E_IO, directory, "directory");
  ASSERT_FAILS(weir_gguf_open("", &gguf), WEIR_E_IO, "No such file");
  ASSERT_FAILS(weir_gguf_open(NULL, &gguf), WEIR_E_NULL, "path");
  ASSERT_FAILS(weir_gguf_open(path, NULL), WEIR_E_NULL, "out_gguf");
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  ASSERT_FAILS(weir_gguf_open(path, &gguf), WEIR_E_IO, path, "regular");
  ck_assert_int_eq(remove(path), 0);
  write_file(path, "", 0);
  ASSERT_FAILS(weir_gguf_open(path, &gguf), WEIR_E_FORMAT, path, "empty");
  if (geteuid() != 0) {
    ck_assert_int_eq(chmod(path, 0), 0);
    ASSERT_FAILS(weir_gguf_open(path, &gguf), WEIR_E_IO, path, "Permission denied");
  }
}
END_TEST

START_TEST(other_formats_are_named) {
  buffer b = {0};
  put(&b, "PK\003\004 and so on, a zip", 20);
  REFUSED(&b, "50 4b 03 04", "GGUF");
  put_header(&b, 0x03000000, 0, 0);
  REFUSED(&b, "big-endian");
  put_header(&b, 1, 0, 0);
  REFUSED(&b, "version", "1");
  put_header(&b, 4, 0, 0);
  REFUSED(&b, "version", "4");
  put_header(&b, 0, 0, 0);
  REFUSED(&b, "version", "0");
  free(b.data);
}
END_TEST

START_TEST(broken_metadata_is_refused) {
  buffer b = {0};
  put_header(&b, 3, 0, UINT64_MAX);
  REFUSED(&b, "16", "18446744073709551615", "keys");
  put_header(&b, 3, 0, 1), put_key(&b, "k", 13), put_number(&b, 0, 8);
  REFUSED(&b, "'k'", "13");
  put_header(&b, 3, 0, 1), put_number(&b, UINT64_MAX, 8), put_number(&b, 0, 8);
  REFUSED(&b, "name", "18446744073709551615");
  put_header(&b, 3, 0, 1), put_key(&b, "k", STRING), put_number(&b, UINT64_MAX - 7, 8);
  REFUSED(&b, "'k'", "18446744073709551608");
  put_header(&b, 3, 0, 1), put_array(&b, "k", U64, UINT64_C(1) << 61), put_number(&b, 0, 8);
  REFUSED(&b, "'k'", "2305843009213693952", "u64");
  put_header(&b, 3, 0, 1), put_array(&b, "k", STRING, 3), put_text(&b, "a"), put_number(&b, 99, 8);
  REFUSED(&b, "'k'");
  put_header(&b, 3, 0, 1), put_array(&b, "k", 13, 0);
  REFUSED(&b, "'k'", "13");
  put_header(&b, 3, 0, 2);
  put_key(&b, "same", U8), put_number(&b, 1, 1), put_key(&b, "same", U8), put_number(&b, 2, 1);
  REFUSED(&b, "'same'", "twice");
  put_header(&b, 3, 0, 1), put_key(&b, "k", ARRAY);
  for (int i = 0; i < 5000; i++) put_number(&b, ARRAY, 4), put_number(&b, 1, 8);
  REFUSED(&b, "'k'", "deep");
  static const uint32_t alignments[] = {0, 1, 4, 24, 33, UINT32_MAX, 0x80000000u};
  for (size_t i = 0; i < sizeof alignments / sizeof alignments[0]; i++) {
    put_header(&b, 3, 0, 1), put_key(&b, "general.alignment", U32), put_number(&b, alignments[i], 4);
    REFUSED(&b, "general.alignment", "power of two");
  }
  put_header(&b, 3, 0, 1), put_key(&b, "general.alignment", STRING), put_text(&b, "32");
  REFUSED(&b, "general.alignment", "integer");
  free(b.data);
}
END_TEST

START_TEST(broken_tensors_are_refused) {
  static const struct {
    uint32_t dim_count, type;
    uint64_t dims[5], offset;
    const char *word, *second;
  } cases[] = {
      {0, 0, {0}, 0, "dimensions", "0"},
      {5, 0, {1, 1, 1, 1, 1}, 0, "dimensions", "5"},
      {UINT32_MAX, 0, {0}, 0, "dimensions", "4294967295"},
      {2, 0, {4, 0}, 0, "dims[1]", "0"},
      {3, 0, {UINT64_C(1) << 32, UINT64_C(1) << 31, 2}, 0, "64 bits", "dims[2]"},
      {1, 0, {UINT64_C(1) << 63}, 0, "64 bits", "bytes"},
      {2, 99, {UINT64_MAX, 2}, 0, "64 bits", "dims[1]"},
      {1, 2, {48}, 0, "multiple", "32"},
      {1, 12, {128}, 0, "multiple", "256"},
      {1, 0, {4}, 8, "alignment", "8"},
      {1, 0, {4}, 64, "file", "64"},
      {1, 0, {17}, 0, "68", "offset"},
      {1, 0, {4}, UINT64_MAX - 31, "file", "18446744073709551584"},
  };
  buffer b = {0};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    put_header(&b, 3, 1, 0);
    put_tensor(&b, "w", cases[i].dim_count == UINT32_MAX ? 0 : cases[i].dim_count, cases[i].dims, cases[i].type,
               cases[i].offset);
    if (cases[i].dim_count == UINT32_MAX) memset(b.data + 33, 0xff, 4);
    put_padding(&b, 32);
    for (int j = 0; j < 16; j++) put_number(&b, 0, 4);
    REFUSED(&b, "'w'", cases[i].word, cases[i].second);
  }
  put_header(&b, 3, 2, 0);
  put_tensor(&b, "twin", 1, DIMS(1), 0, 0), put_tensor(&b, "twin", 1, DIMS(1), 0, 0);
  put_padding(&b, 32), put_number(&b, 0, 4);
  REFUSED(&b, "'twin'", "twice");
  put_header(&b, 3, UINT64_MAX / 2, 0);
  REFUSED(&b, "tensors", "9223372036854775807");
  put_header(&b, 3, 1, 0);
  put_number(&b, 3, 8), put(&b, "a\0b", 3), put_number(&b, 1, 4), put_number(&b, 1, 8), put_number(&b, 0, 12);
  REFUSED(&b, "zero byte");
  put_header(&b, 3, 0, 0);
  weir_gguf *gguf = open_bytes(&b);
  weir_tensor tensor = {.struct_size = sizeof tensor};
  ASSERT_FAILS(weir_gguf_find(gguf, "x", &tensor), WEIR_E_NOTFOUND, "none");
  weir_gguf_close(gguf);
  free(b.data);
}
END_TEST

/* ---- Damage of every kind ---- */

static unsigned touch(const weir_gguf *gguf) {
  unsigned sum = 0;
  for (uint64_t i = 0; i < weir_gguf_tensor_count(gguf); i++) {
    weir_tensor tensor = {.struct_size = sizeof tensor}, same = {.struct_size = sizeof same};
    ck_assert_int_eq(weir_gguf_tensor(gguf, i, &tensor), WEIR_OK);
    ck_assert_int_eq(weir_gguf_find(gguf, tensor.name, &same), WEIR_OK);
    ck_assert(tensor.data == same.data);
    for (uint64_t j = 0; j < tensor.bytes; j++) sum += ((const uint8_t *)tensor.data)[j];
    if (!tensor.bytes || tensor.dims[0] > 65536) continue;
    float *row = malloc((size_t)tensor.dims[0] * sizeof *row);
    if (weir_tensor_rows(&tensor, 0, 1, row) == WEIR_OK) sum += row[tensor.dims[0] - 1] > 0;
    free(row);
  }
  for (size_t i = 0; i < SAMPLE_KEYS; i++) {
    int64_t value;
    double real;
    const char *text;
    uint64_t length, count;
    sum += weir_gguf_int(gguf, sample_keys[i], &value) == WEIR_OK;
    sum += weir_gguf_float(gguf, sample_keys[i], &real) == WEIR_OK;
    if (weir_gguf_string(gguf, sample_keys[i], &text, &length) == WEIR_OK)
      for (uint64_t j = 0; j < length; j++) sum += (uint8_t)text[j];
    if (weir_gguf_array_count(gguf, sample_keys[i], &count) != WEIR_OK) continue;
    for (uint64_t j = 0; j < count; j++) {
      sum += weir_gguf_array_int(gguf, sample_keys[i], j, &value) == WEIR_OK;
      sum += weir_gguf_array_float(gguf, sample_keys[i], j, &real) == WEIR_OK;
      if (weir_gguf_array_string(gguf, sample_keys[i], j, &text, &length) == WEIR_OK)
        for (uint64_t c = 0; c < length; c++) sum += (uint8_t)text[c];
    }
  }
  return sum;
}

/* Opens it; where that works, touches all that can be reached. The file is
 * written in place, which spares the disk thousands of new ones. */
static bool survives(const buffer *b) {
  static volatile unsigned sink;
  weir_gguf *gguf = NULL;
  if (!descriptor) descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ck_assert_int_eq(pwrite(descriptor, b->data, b->size, 0), (ssize_t)b->size);
  ck_assert_int_eq(ftruncate(descriptor, (off_t)b->size), 0);
  weir_status status = weir_gguf_open(path, &gguf);
  if (status != WEIR_OK) {
    ck_assert_int_eq(status, WEIR_E_FORMAT);
    ck_assert_ptr_null(gguf);
    return false;
  }
  sink += touch(gguf);
  weir_gguf_close(gguf);
  return true;
}

START_TEST(every_truncation_is_refused) {
  buffer b = {0};
  make_sample(&b, 3);
  ck_assert(survives(&b));
  for (size_t size = b.size; size-- > 0;) {
    b.size = size;
    ck_assert_msg(!survives(&b), "cut to %zu bytes", size);
    ck_assert_msg(strncmp(weir_last_error(), path, strlen(path)) == 0, "%s", weir_last_error());
  }
  free(b.data);
}
END_TEST

START_TEST(no_changed_byte_is_harmful) {
  static const uint8_t masks[] = {0x01, 0x02, 0x08, 0x80, 0xff};
  buffer b = {0};
  make_sample(&b, 3);
  unsigned refused = 0;
  for (size_t at = 0; at < b.size; at++)
    for (size_t i = 0; i < sizeof masks; i++) {
      b.data[at] ^= masks[i];
      refused += !survives(&b);
      b.data[at] ^= masks[i];
    }
  ck_assert_uint_gt(refused, 0);
  free(b.data);
}
END_TEST

START_TEST(no_changed_number_is_harmful) {
  static const uint64_t numbers[] = {0, UINT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 32, UINT64_MAX - 31};
  buffer b = {0}, damaged = {0};
  make_sample(&b, 3);
  unsigned refused = 0;
  uint32_t random = 1;
  for (size_t at = 4; at + 8 <= b.size; at++)
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
      damaged.size = 0;
      put(&damaged, b.data, at), put_number(&damaged, numbers[i], 8);
      put(&damaged, b.data + at + 8, b.size - at - 8);
      refused += !survives(&damaged);
    }
  for (int round = 0; round < 2000; round++) {
    damaged.size = 0;
    put(&damaged, b.data, b.size);
    for (int i = 0; i < 1 + round % 7; i++) {
      random = random * 1664525u + 1013904223u;
      damaged.data[8 + (random >> 8) % (b.size - 8)] = (uint8_t)(random >> 24 & (round & 1 ? 15 : 255));
    }
    refused += !survives(&damaged);
  }
  ck_assert_uint_gt(refused, 0);
  free(damaged.data);
  free(b.data);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("gguf");
  TCase *reading = tcase_create("reading"), *refusing = tcase_create("refusing");
  tcase_add_checked_fixture(reading, setup, teardown);
  tcase_add_checked_fixture(refusing, setup, teardown);
  tcase_set_timeout(reading, 60);
  tcase_set_timeout(refusing, 120);
  tcase_add_loop_test(reading, scalars_are_read, 0, 2);
  tcase_add_test(reading, arrays_are_read);
  tcase_add_test(reading, wrong_questions_are_refused);
  tcase_add_test(reading, tensors_are_listed_and_found);
  tcase_add_test(reading, large_files_are_indexed);
  tcase_add_test(refusing, files_that_cannot_be_read);
  tcase_add_test(refusing, other_formats_are_named);
  tcase_add_test(refusing, broken_metadata_is_refused);
  tcase_add_test(refusing, broken_tensors_are_refused);
  tcase_add_test(refusing, every_truncation_is_refused);
  tcase_add_test(refusing, no_changed_byte_is_harmful);
  tcase_add_test(refusing, no_changed_number_is_harmful);
  suite_add_tcase(suite, reading);
  suite_add_tcase(suite, refusing);
  return run_suite(suite);
}

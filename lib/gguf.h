/* SPDX-License-Identifier: MIT */

/* What the files of the GGUF reader and the importers share.
 *
 * The layout that is read (little endian, versions 2 and 3):
 *   "GGUF", u32 version, u64 tensor count, u64 key count,
 *   keys:    string key, u32 value type, value
 *   tensors: string name, u32 dimension count, u64 dims[], u32 type, u64 offset
 *   padding to general.alignment (32 if absent), then the tensors' data.
 * A string is a u64 length and that many bytes. An array is a u32 element type,
 * a u64 count and the elements. */
#ifndef WEIR_GGUF_H
#define WEIR_GGUF_H

#include "internal.h"

enum gguf_value_type {
  GGUF_U8 = 0,
  GGUF_I8 = 1,
  GGUF_U16 = 2,
  GGUF_I16 = 3,
  GGUF_U32 = 4,
  GGUF_I32 = 5,
  GGUF_F32 = 6,
  GGUF_BOOL = 7,
  GGUF_STRING = 8,
  GGUF_ARRAY = 9,
  GGUF_U64 = 10,
  GGUF_I64 = 11,
  GGUF_F64 = 12,
  GGUF_VALUE_TYPES = 13
};

enum gguf_tensor_type {
  GGUF_TENSOR_F32 = 0,
  GGUF_TENSOR_F16 = 1,
  GGUF_TENSOR_Q4_0 = 2,
  GGUF_TENSOR_Q4_1 = 3,
  GGUF_TENSOR_Q5_0 = 6,
  GGUF_TENSOR_Q5_1 = 7,
  GGUF_TENSOR_Q8_0 = 8,
  GGUF_TENSOR_Q4_K = 12,
  GGUF_TENSOR_Q5_K = 13,
  GGUF_TENSOR_Q6_K = 14,
  GGUF_TENSOR_BF16 = 30
};

struct gguf_text {
  const char *data; /* in the map; not terminated */
  uint64_t length;
};

struct gguf_value {
  struct gguf_text key;
  uint32_t type;         /* gguf_value_type */
  uint32_t element;      /* of an array */
  const uint8_t *data;   /* the scalar, the string's bytes, or the first element */
  uint64_t count;        /* bytes of a string, elements of an array */
  uint64_t *strings;     /* of an array of strings: where each one's length stands in the file */
};

struct gguf_tensor {
  char *name;
  uint64_t name_length;
  weir_tensor info;
  uint64_t offset;       /* from the start of the data */
  uint64_t info_at;      /* where its description stands in the file */
  char type_text[24];    /* of an unknown type */
};

struct weir_gguf {
  char *path;
  const uint8_t *map;
  uint64_t size;
  uint64_t value_count, tensor_count, alignment;
  struct gguf_value *values;            /* sorted by key */
  struct gguf_tensor *tensors;          /* in file order */
  struct gguf_tensor **tensors_by_name; /* sorted by name */
};

/* ---- gguf_types.c ---- */
/* How many elements of a tensor type share how many bytes. */
struct gguf_layout {
  const char *name;
  uint32_t block;
  uint32_t bytes;
};
/* NULL for a type this version has not heard of. */
const struct gguf_layout *gguf_layout_find(uint32_t tensor_type);
/* The bytes that a tensor of these dimensions takes. On failure the sentence
 * starts with `what`. */
weir_status gguf_tensor_bytes(const char *what, const struct gguf_layout *layout, uint32_t dim_count,
                              const uint64_t *dims, uint64_t *out_bytes);
const char *gguf_value_type_name(uint32_t value_type);
uint32_t gguf_value_size(uint32_t value_type); /* 0 for strings, arrays and unknown types */
int gguf_text_compare(struct gguf_text a, struct gguf_text b);

/* ---- gguf_parse.c ---- */
/* Fills values and tensors from the map and checks everything. What it has
 * allocated when it fails is freed by weir_gguf_close. */
weir_status gguf_parse(weir_gguf *gguf);

/* ---- numbers as they stand in a file, at any alignment ---- */
static inline uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t load_u32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t load_u64(const uint8_t *p) { return load_u32(p) | (uint64_t)load_u32(p + 4) << 32; }

#endif

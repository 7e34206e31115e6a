/* SPDX-License-Identifier: MIT */
#ifndef WEIR_IMPORT_H
#define WEIR_IMPORT_H

#include "gguf.h"

enum { IMPORT_BLOCK_MAX = 256, IMPORT_BLOCK_GROUPS = 16 };

/* A tensor type that has an importer. Plain floats have values() and no codes;
 * quantised types have unpack(), which is exact: a weight is
 * scale * code, or scale * code + min, with the code in -128..127. */
struct import_type {
  uint32_t type;        /* gguf_tensor_type */
  weir_op op;           /* what op 0 means for it */
  uint32_t group;       /* weights per scale; 0 for plain floats */
  weir_form form;
  weir_type scale_type; /* WEIR_F16: the block starts with scale, then min */
  int nibble_zero;      /* with op int4: what makes a code a nibble */
  void (*unpack)(const uint8_t *block, int8_t *out_codes, float *out_scales, float *out_mins);
  void (*values)(const uint8_t *data, uint64_t count, float *out_values);
};

/* NULL for a type without importer. */
const struct import_type *import_type_find(uint32_t tensor_type);
/* The names of all types with an importer, for sentences. */
extern const char import_type_names[];
/* One row of k weights in f32. */
void import_row_values(const struct import_type *type, const struct gguf_layout *layout, const uint8_t *row,
                       uint64_t k, float *out_values);

#endif

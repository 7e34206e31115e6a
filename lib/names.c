/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "internal.h"

static const char *const op_names[OP_LIMIT] = {
    [WEIR_OP_INT4_MATVEC] = "int4_matvec",
    [WEIR_OP_INT8_MATVEC] = "int8_matvec",
    [WEIR_OP_SDPA] = "sdpa",
};

static const struct {
  const char *name;
  size_t size;
} types[] = {
    [WEIR_NONE] = {"none", 0}, [WEIR_F32] = {"f32", 4}, [WEIR_F16] = {"f16", 2},
    [WEIR_BF16] = {"bf16", 2}, [WEIR_U8] = {"u8", 1},   [WEIR_S8] = {"s8", 1},
};

const char *weir_op_name(weir_op op) { return op > 0 && op < OP_LIMIT ? op_names[op] : "unknown"; }

weir_op weir_op_by_name(const char *text, size_t length) {
  for (weir_op op = 1; op < OP_LIMIT; op++)
    if (strlen(op_names[op]) == length && memcmp(op_names[op], text, length) == 0) return op;
  return 0;
}

const char *weir_type_name(weir_type type) { return type < COUNT_OF(types) ? types[type].name : "unknown"; }

size_t weir_type_size(weir_type type) { return type < COUNT_OF(types) ? types[type].size : 0; }

bool weir_plugin_name_valid(const char *text, size_t length) {
  if (length == 0 || length > 63 || (length == 4 && memcmp(text, "auto", 4) == 0)) return false;
  if (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) return false;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return false;
  }
  return weir_op_by_name(text, length) == 0;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "gguf.h"

/* Numbers without a line (4, 5, 31 to 33, 36 to 38) belong to formats that were
 * withdrawn; files with them count as files with unknown types. */
static const struct gguf_layout layouts[] = {
    [GGUF_TENSOR_F32] = {"F32", 1, 4},
    [GGUF_TENSOR_F16] = {"F16", 1, 2},
    [GGUF_TENSOR_Q4_0] = {"Q4_0", 32, 18},
    [GGUF_TENSOR_Q4_1] = {"Q4_1", 32, 20},
    [GGUF_TENSOR_Q5_0] = {"Q5_0", 32, 22},
    [GGUF_TENSOR_Q5_1] = {"Q5_1", 32, 24},
    [GGUF_TENSOR_Q8_0] = {"Q8_0", 32, 34},
    [9] = {"Q8_1", 32, 36},
    [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},
    [GGUF_TENSOR_Q4_K] = {"Q4_K", 256, 144},
    [GGUF_TENSOR_Q5_K] = {"Q5_K", 256, 176},
    [GGUF_TENSOR_Q6_K] = {"Q6_K", 256, 210},
    [15] = {"Q8_K", 256, 292},
    [16] = {"IQ2_XXS", 256, 66},
    [17] = {"IQ2_XS", 256, 74},
    [18] = {"IQ3_XXS", 256, 98},
    [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},
    [21] = {"IQ3_S", 256, 110},
    [22] = {"IQ2_S", 256, 82},
    [23] = {"IQ4_XS", 256, 136},
    [24] = {"I8", 1, 1},
    [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},
    [27] = {"I64", 1, 8},
    [28] = {"F64", 1, 8},
    [29] = {"IQ1_M", 256, 56},
    [GGUF_TENSOR_BF16] = {"BF16", 1, 2},
    [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},
    [39] = {"MXFP4", 32, 17},
    [40] = {"NVFP4", 64, 36},
    [41] = {"Q1_0", 128, 18},
};

static const struct {
  const char *name;
  uint32_t size;
} value_types[GGUF_VALUE_TYPES] = {
    [GGUF_U8] = {"u8", 1},         [GGUF_I8] = {"i8", 1},       [GGUF_U16] = {"u16", 2}, [GGUF_I16] = {"i16", 2},
    [GGUF_U32] = {"u32", 4},       [GGUF_I32] = {"i32", 4},     [GGUF_F32] = {"f32", 4}, [GGUF_BOOL] = {"bool", 1},
    [GGUF_STRING] = {"string", 0}, [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8}, [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const struct gguf_layout *gguf_layout_find(uint32_t tensor_type) {
  if (tensor_type >= COUNT_OF(layouts) || !layouts[tensor_type].name) return NULL;
  return &layouts[tensor_type];
}

weir_status gguf_tensor_bytes(const char *what, const struct gguf_layout *layout, uint32_t dim_count,
                              const uint64_t *dims, uint64_t *out_bytes) {
  *out_bytes = 0;
  if (dim_count < 1 || dim_count > 4)
    return weir_fail(WEIR_E_SHAPE, "%s has %u dimensions; 1 to 4 are possible", what, dim_count);
  uint64_t elements = 1;
  for (uint32_t i = 0; i < dim_count; i++) {
    if (dims[i] == 0) return weir_fail(WEIR_E_SHAPE, "%s has dims[%u] = 0; at least 1 is needed", what, i);
    if (elements > UINT64_MAX / dims[i])
      return weir_fail(WEIR_E_SHAPE, "%s has more elements than 64 bits can count (dims[%u] = %llu)", what, i,
                       (unsigned long long)dims[i]);
    elements *= dims[i];
  }
  if (!layout) return WEIR_OK;
  if (dims[0] % layout->block != 0)
    return weir_fail(WEIR_E_SHAPE, "%s has dims[0] = %llu, which is no multiple of %u, the block size of %s", what,
                     (unsigned long long)dims[0], layout->block, layout->name);
  uint64_t blocks = elements / layout->block;
  if (blocks > UINT64_MAX / layout->bytes)
    return weir_fail(WEIR_E_SHAPE, "%s takes more bytes than 64 bits can count (%llu elements of %s)", what,
                     (unsigned long long)elements, layout->name);
  *out_bytes = blocks * layout->bytes;
  return WEIR_OK;
}

const char *gguf_value_type_name(uint32_t value_type) {
  return value_type < GGUF_VALUE_TYPES ? value_types[value_type].name : "unknown";
}

uint32_t gguf_value_size(uint32_t value_type) {
  return value_type < GGUF_VALUE_TYPES ? value_types[value_type].size : 0;
}

int gguf_text_compare(struct gguf_text a, struct gguf_text b) {
  uint64_t shorter = a.length < b.length ? a.length : b.length;
  int order = shorter ? memcmp(a.data, b.data, (size_t)shorter) : 0;
  return order ? order : (a.length > b.length) - (a.length < b.length);
}

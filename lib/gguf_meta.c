/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "gguf.h"

static weir_status find_value(const weir_gguf *gguf, const char *key, const struct gguf_value **out_value) {
  *out_value = NULL;
  if (!gguf || !key) return weir_fail(WEIR_E_NULL, "a metadata %s is null", gguf ? "key" : "file (weir_gguf)");
  struct gguf_text wanted = {key, strlen(key)};
  uint64_t low = 0, high = gguf->value_count;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    int order = gguf_text_compare(gguf->values[middle].key, wanted);
    if (order == 0) {
      *out_value = &gguf->values[middle];
      return WEIR_OK;
    }
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return weir_fail(WEIR_E_NOTFOUND, "%s: there is no metadata key '%s'", gguf->path, key);
}

static weir_status find_scalar(const weir_gguf *gguf, const char *key, const struct gguf_value **out_value) {
  weir_status status = find_value(gguf, key, out_value);
  if (status || (*out_value)->type != GGUF_ARRAY) return status;
  return weir_fail(WEIR_E_TYPE, "%s: '%s' is an array of %s; ask for its elements with weir_gguf_array_*", gguf->path,
                   key, gguf_value_type_name((*out_value)->element));
}

static weir_status find_array(const weir_gguf *gguf, const char *key, const struct gguf_value **out_value) {
  weir_status status = find_value(gguf, key, out_value);
  if (status || (*out_value)->type == GGUF_ARRAY) return status;
  return weir_fail(WEIR_E_TYPE, "%s: '%s' is one %s, no array", gguf->path, key,
                   gguf_value_type_name((*out_value)->type));
}

static weir_status find_element(const weir_gguf *gguf, const char *key, uint64_t index,
                                const struct gguf_value **out_value) {
  weir_status status = find_array(gguf, key, out_value);
  if (status || index < (*out_value)->count) return status;
  return weir_fail(WEIR_E_NOTFOUND, "%s: '%s' has no element %" PRIu64 "; it has %" PRIu64 ", counted from 0",
                   gguf->path, key, index, (*out_value)->count);
}

static weir_status wrong_type(const weir_gguf *gguf, const char *key, uint32_t type, const char *wanted) {
  return weir_fail(WEIR_E_TYPE, "%s: '%s' holds %s, not %s", gguf->path, key, gguf_value_type_name(type), wanted);
}

static weir_status as_int(const weir_gguf *gguf, const char *key, uint32_t type, const uint8_t *data,
                          int64_t *out_value) {
  switch (type) {
    case GGUF_U8: *out_value = data[0]; return WEIR_OK;
    case GGUF_I8: *out_value = (int8_t)data[0]; return WEIR_OK;
    case GGUF_U16: *out_value = load_u16(data); return WEIR_OK;
    case GGUF_I16: *out_value = (int16_t)load_u16(data); return WEIR_OK;
    case GGUF_U32: *out_value = load_u32(data); return WEIR_OK;
    case GGUF_I32: *out_value = (int32_t)load_u32(data); return WEIR_OK;
    case GGUF_BOOL: *out_value = data[0] != 0; return WEIR_OK;
    case GGUF_I64: *out_value = (int64_t)load_u64(data); return WEIR_OK;
    case GGUF_U64: break;
    default: return wrong_type(gguf, key, type, "an integer");
  }
  uint64_t value = load_u64(data);
  if (value > INT64_MAX)
    return weir_fail(WEIR_E_TYPE, "%s: '%s' is %" PRIu64 ", too large for int64", gguf->path, key, value);
  *out_value = (int64_t)value;
  return WEIR_OK;
}

static weir_status as_float(const weir_gguf *gguf, const char *key, uint32_t type, const uint8_t *data,
                            double *out_value) {
  if (type == GGUF_F32) {
    uint32_t bits = load_u32(data);
    float value;
    memcpy(&value, &bits, sizeof value);
    *out_value = value;
    return WEIR_OK;
  }
  if (type == GGUF_F64) {
    uint64_t bits = load_u64(data);
    memcpy(out_value, &bits, sizeof *out_value);
    return WEIR_OK;
  }
  return wrong_type(gguf, key, type, "a float");
}

weir_status weir_gguf_int(const weir_gguf *gguf, const char *key, int64_t *out_value) {
  if (!out_value) return weir_fail(WEIR_E_NULL, "weir_gguf_int: out_value is null");
  *out_value = 0;
  const struct gguf_value *value;
  weir_status status = find_scalar(gguf, key, &value);
  return status ? status : as_int(gguf, key, value->type, value->data, out_value);
}

weir_status weir_gguf_float(const weir_gguf *gguf, const char *key, double *out_value) {
  if (!out_value) return weir_fail(WEIR_E_NULL, "weir_gguf_float: out_value is null");
  *out_value = 0;
  const struct gguf_value *value;
  weir_status status = find_scalar(gguf, key, &value);
  return status ? status : as_float(gguf, key, value->type, value->data, out_value);
}

weir_status weir_gguf_string(const weir_gguf *gguf, const char *key, const char **out_text, uint64_t *out_length) {
  if (out_text) *out_text = NULL;
  if (out_length) *out_length = 0;
  if (!out_text || !out_length)
    return weir_fail(WEIR_E_NULL, "weir_gguf_string: %s is null", out_text ? "out_length" : "out_text");
  const struct gguf_value *value;
  weir_status status = find_scalar(gguf, key, &value);
  if (status) return status;
  if (value->type != GGUF_STRING) return wrong_type(gguf, key, value->type, "a string");
  *out_text = (const char *)value->data;
  *out_length = value->count;
  return WEIR_OK;
}

weir_status weir_gguf_array_count(const weir_gguf *gguf, const char *key, uint64_t *out_count) {
  if (!out_count) return weir_fail(WEIR_E_NULL, "weir_gguf_array_count: out_count is null");
  *out_count = 0;
  const struct gguf_value *value;
  weir_status status = find_array(gguf, key, &value);
  if (!status) *out_count = value->count;
  return status;
}

weir_status weir_gguf_array_int(const weir_gguf *gguf, const char *key, uint64_t index, int64_t *out_value) {
  if (!out_value) return weir_fail(WEIR_E_NULL, "weir_gguf_array_int: out_value is null");
  *out_value = 0;
  const struct gguf_value *value;
  weir_status status = find_element(gguf, key, index, &value);
  if (status) return status;
  return as_int(gguf, key, value->element, value->data + index * gguf_value_size(value->element), out_value);
}

weir_status weir_gguf_array_float(const weir_gguf *gguf, const char *key, uint64_t index, double *out_value) {
  if (!out_value) return weir_fail(WEIR_E_NULL, "weir_gguf_array_float: out_value is null");
  *out_value = 0;
  const struct gguf_value *value;
  weir_status status = find_element(gguf, key, index, &value);
  if (status) return status;
  return as_float(gguf, key, value->element, value->data + index * gguf_value_size(value->element), out_value);
}

weir_status weir_gguf_array_string(const weir_gguf *gguf, const char *key, uint64_t index, const char **out_text,
                                   uint64_t *out_length) {
  if (out_text) *out_text = NULL;
  if (out_length) *out_length = 0;
  if (!out_text || !out_length)
    return weir_fail(WEIR_E_NULL, "weir_gguf_array_string: %s is null", out_text ? "out_length" : "out_text");
  const struct gguf_value *value;
  weir_status status = find_element(gguf, key, index, &value);
  if (status) return status;
  if (value->element != GGUF_STRING) return wrong_type(gguf, key, value->element, "strings");
  const uint8_t *string = gguf->map + value->strings[index];
  *out_text = (const char *)string + 8;
  *out_length = load_u64(string);
  return WEIR_OK;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"

enum {
  ARRAY_DEPTH = 8,
  ALIGNMENT_DEFAULT = 32,
  ALIGNMENT_LEAST = 8,
  KEY_LEAST = 8 + 4 + 1,              /* an empty key, a type, a byte */
  TENSOR_LEAST = 8 + 4 + 8 + 4 + 8,   /* an empty name, one dimension */
};

/* A place in the file that never moves past its end. */
struct reader {
  weir_gguf *gguf;
  uint64_t at;
  char what[128]; /* what is being read, for sentences */
};

/* Text of a file, made fit for one line of a message. */
static const char *shown(struct gguf_text text, char out_shown[64]) {
  size_t length = text.length < 60 ? (size_t)text.length : 60;
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text.data[i];
    out_shown[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
  }
  strcpy(out_shown + length, length < text.length ? "..." : "");
  return out_shown;
}

static weir_status broken(const struct reader *r, uint64_t at, const char *format, ...) WEIR_PRINTF(3, 4);
static weir_status broken(const struct reader *r, uint64_t at, const char *format, ...) {
  char detail[512];
  va_list args;
  va_start(args, format);
  vsnprintf(detail, sizeof detail, format, args);
  va_end(args);
  return weir_fail(WEIR_E_FORMAT, "%s: byte %" PRIu64 ": %s", r->gguf->path, at, detail);
}

static uint64_t left(const struct reader *r) { return r->gguf->size - r->at; }

static weir_status take(struct reader *r, uint64_t bytes, const char *part, const uint8_t **out_data) {
  *out_data = r->gguf->map + r->at;
  if (bytes > left(r))
    return broken(r, r->at,
                  "%s of %s needs %" PRIu64 " bytes, and the file has only %" PRIu64
                  " more; it is truncated or damaged, so fetch it again",
                  part, r->what, bytes, left(r));
  r->at += bytes;
  return WEIR_OK;
}

static weir_status take_u32(struct reader *r, const char *part, uint32_t *out_value) {
  const uint8_t *data;
  weir_status status = take(r, 4, part, &data);
  *out_value = status ? 0 : load_u32(data);
  return status;
}

static weir_status take_u64(struct reader *r, const char *part, uint64_t *out_value) {
  const uint8_t *data;
  weir_status status = take(r, 8, part, &data);
  *out_value = status ? 0 : load_u64(data);
  return status;
}

static weir_status take_text(struct reader *r, const char *part, struct gguf_text *out_text) {
  const uint8_t *data;
  weir_status status = take_u64(r, part, &out_text->length);
  if (!status) status = take(r, out_text->length, part, &data);
  if (!status) out_text->data = (const char *)data;
  return status;
}

static void *allocate(uint64_t count, size_t size) {
  if (count > SIZE_MAX / size) return NULL;
  return calloc(count ? (size_t)count : 1, size);
}

static weir_status no_memory(const struct reader *r, uint64_t count, const char *what) {
  return weir_fail(WEIR_E_NOMEM, "%s: no memory for %" PRIu64 " %s; close something or use a smaller file",
                   r->gguf->path, count, what);
}

static weir_status read_array(struct reader *r, struct gguf_value *value, int depth) {
  uint64_t type_at = r->at;
  weir_status status = take_u32(r, "the element type", &value->element);
  if (!status) status = take_u64(r, "the element count", &value->count);
  if (status) return status;
  value->data = r->gguf->map + r->at;

  uint32_t size = gguf_value_size(value->element);
  uint64_t least = size ? size : value->element == GGUF_STRING ? 8 : 12;
  if (value->element >= GGUF_VALUE_TYPES)
    return broken(r, type_at, "%s is an array of type %" PRIu32 "; types 0 to 12 are known", r->what, value->element);
  if (value->count > left(r) / least)
    return broken(r, type_at,
                  "%s claims %" PRIu64 " elements of type %s, but only %" PRIu64
                  " bytes follow; the file is truncated or damaged, so fetch it again",
                  r->what, value->count, gguf_value_type_name(value->element), left(r));
  if (size) {
    r->at += value->count * size;
    return WEIR_OK;
  }
  if (value->element == GGUF_STRING) {
    if (depth == 1) {
      value->strings = allocate(value->count, sizeof *value->strings);
      if (!value->strings) return no_memory(r, value->count, "strings");
    }
    for (uint64_t i = 0; i < value->count; i++) {
      if (depth == 1) value->strings[i] = r->at;
      struct gguf_text text;
      status = take_text(r, "an element", &text);
      if (status) return status;
    }
    return WEIR_OK;
  }
  if (depth == ARRAY_DEPTH)
    return broken(r, type_at, "%s nests arrays more than %d deep", r->what, ARRAY_DEPTH);
  for (uint64_t i = 0; i < value->count; i++) {
    struct gguf_value inner = {0};
    status = read_array(r, &inner, depth + 1);
    if (status) return status;
  }
  return WEIR_OK;
}

static weir_status read_value(struct reader *r, struct gguf_value *value) {
  uint64_t type_at = r->at;
  weir_status status = take_u32(r, "the type", &value->type);
  if (status) return status;
  if (value->type == GGUF_ARRAY) return read_array(r, value, 1);
  if (value->type == GGUF_STRING) {
    struct gguf_text text;
    status = take_text(r, "the value", &text);
    if (status) return status;
    value->data = (const uint8_t *)text.data;
    value->count = text.length;
    return WEIR_OK;
  }
  if (value->type >= GGUF_VALUE_TYPES)
    return broken(r, type_at, "%s has value type %" PRIu32 "; types 0 to 12 are known", r->what, value->type);
  return take(r, gguf_value_size(value->type), "the value", &value->data);
}

static int compare_values(const void *a, const void *b) {
  return gguf_text_compare(((const struct gguf_value *)a)->key, ((const struct gguf_value *)b)->key);
}

static weir_status read_values(struct reader *r, uint64_t count, uint64_t count_at) {
  weir_gguf *gguf = r->gguf;
  if (count > left(r) / KEY_LEAST)
    return broken(r, count_at,
                  "the header claims %" PRIu64 " metadata keys, more than a file of %" PRIu64
                  " bytes can hold; it is truncated or damaged, so fetch it again",
                  count, gguf->size);
  gguf->values = allocate(count, sizeof *gguf->values);
  if (!gguf->values) return no_memory(r, count, "metadata keys");
  char text[64];
  for (uint64_t i = 0; i < count; i++) {
    struct gguf_value *value = &gguf->values[i];
    gguf->value_count = i + 1;
    snprintf(r->what, sizeof r->what, "metadata key %" PRIu64 " of %" PRIu64, i + 1, count);
    weir_status status = take_text(r, "the name", &value->key);
    if (status) return status;
    snprintf(r->what, sizeof r->what, "metadata key '%s'", shown(value->key, text));
    status = read_value(r, value);
    if (status) return status;
  }
  qsort(gguf->values, (size_t)count, sizeof *gguf->values, compare_values);
  for (uint64_t i = 1; i < count; i++)
    if (gguf_text_compare(gguf->values[i - 1].key, gguf->values[i].key) == 0)
      return broken(r, (uint64_t)((const uint8_t *)gguf->values[i].key.data - gguf->map),
                    "metadata key '%s' is there twice; write the file again with each key once",
                    shown(gguf->values[i].key, text));
  return WEIR_OK;
}

static weir_status read_alignment(weir_gguf *gguf) {
  int64_t alignment;
  gguf->alignment = ALIGNMENT_DEFAULT;
  weir_status status = weir_gguf_int(gguf, "general.alignment", &alignment);
  if (status == WEIR_E_NOTFOUND) return WEIR_OK;
  if (status) return weir_fail(WEIR_E_FORMAT, "%s: metadata key 'general.alignment' is no integer", gguf->path);
  if (alignment < ALIGNMENT_LEAST || alignment > INT32_MAX || (alignment & (alignment - 1)) != 0)
    return weir_fail(WEIR_E_FORMAT,
                     "%s: metadata key 'general.alignment' is %" PRId64 "; a power of two from %d up is needed",
                     gguf->path, alignment, ALIGNMENT_LEAST);
  gguf->alignment = (uint64_t)alignment;
  return WEIR_OK;
}

static weir_status read_tensor(struct reader *r, struct gguf_tensor *tensor) {
  struct gguf_text name;
  char text[64];
  tensor->info_at = r->at;
  weir_status status = take_text(r, "the name", &name);
  if (status) return status;
  snprintf(r->what, sizeof r->what, "tensor '%s'", shown(name, text));
  if (name.length && memchr(name.data, '\0', (size_t)name.length))
    return broken(r, tensor->info_at, "the name of %s has a zero byte in it", r->what);
  tensor->name = text_copy(name.data, (size_t)name.length);
  if (!tensor->name) return no_memory(r, name.length, "bytes of a tensor's name");
  tensor->name_length = name.length;

  weir_tensor *info = &tensor->info;
  info->struct_size = sizeof *info;
  info->name = tensor->name;
  status = take_u32(r, "the dimension count", &info->dim_count);
  if (status) return status;
  if (info->dim_count < 1 || info->dim_count > 4)
    return broken(r, r->at - 4, "%s has %" PRIu32 " dimensions; 1 to 4 are possible", r->what, info->dim_count);
  for (uint32_t i = 0; i < 4; i++) {
    info->dims[i] = 1;
    if (i < info->dim_count) status = take_u64(r, "a dimension", &info->dims[i]);
    if (status) return status;
  }
  status = take_u32(r, "the type", &info->type);
  if (!status) status = take_u64(r, "the offset", &tensor->offset);
  if (status) return status;

  const struct gguf_layout *layout = gguf_layout_find(info->type);
  if (layout) {
    info->type_name = layout->name;
  } else {
    snprintf(tensor->type_text, sizeof tensor->type_text, "unknown (%" PRIu32 ")", info->type);
    info->type_name = tensor->type_text;
  }
  status = gguf_tensor_bytes(r->what, layout, info->dim_count, info->dims, &info->bytes);
  if (status) return broken(r, tensor->info_at, "%s", weir_last_error());
  return WEIR_OK;
}

static int compare_tensors(const void *a, const void *b) {
  const struct gguf_tensor *left = *(struct gguf_tensor *const *)a, *right = *(struct gguf_tensor *const *)b;
  return gguf_text_compare((struct gguf_text){left->name, left->name_length},
                           (struct gguf_text){right->name, right->name_length});
}

static weir_status read_tensors(struct reader *r, uint64_t count, uint64_t count_at) {
  weir_gguf *gguf = r->gguf;
  if (count > left(r) / TENSOR_LEAST)
    return broken(r, count_at,
                  "the header claims %" PRIu64 " tensors, more than a file of %" PRIu64
                  " bytes can hold; it is truncated or damaged, so fetch it again",
                  count, gguf->size);
  gguf->tensors = allocate(count, sizeof *gguf->tensors);
  gguf->tensors_by_name = allocate(count, sizeof *gguf->tensors_by_name);
  if (!gguf->tensors || !gguf->tensors_by_name) return no_memory(r, count, "tensors");
  for (uint64_t i = 0; i < count; i++) {
    gguf->tensor_count = i + 1;
    gguf->tensors_by_name[i] = &gguf->tensors[i];
    snprintf(r->what, sizeof r->what, "tensor %" PRIu64 " of %" PRIu64, i + 1, count);
    weir_status status = read_tensor(r, &gguf->tensors[i]);
    if (status) return status;
  }
  qsort(gguf->tensors_by_name, (size_t)count, sizeof *gguf->tensors_by_name, compare_tensors);
  for (uint64_t i = 1; i < count; i++)
    if (strcmp(gguf->tensors_by_name[i - 1]->name, gguf->tensors_by_name[i]->name) == 0) {
      char text[64];
      struct gguf_text name = {gguf->tensors_by_name[i]->name, gguf->tensors_by_name[i]->name_length};
      return broken(r, gguf->tensors_by_name[i]->info_at,
                    "tensor '%s' is there twice; write the file again with each name once", shown(name, text));
    }
  return WEIR_OK;
}

/* Tensor data starts at the first aligned byte after the descriptions. */
static weir_status place_tensors(struct reader *r) {
  weir_gguf *gguf = r->gguf;
  uint64_t start = (r->at + gguf->alignment - 1) & ~(gguf->alignment - 1);
  uint64_t room = start < gguf->size ? gguf->size - start : 0;
  char text[64];
  for (uint64_t i = 0; i < gguf->tensor_count; i++) {
    struct gguf_tensor *tensor = &gguf->tensors[i];
    struct gguf_text name = {tensor->name, tensor->name_length};
    if (!gguf_layout_find(tensor->info.type)) continue;
    if (tensor->offset % gguf->alignment != 0)
      return broken(r, tensor->info_at,
                    "tensor '%s' has offset %" PRIu64 ", which is no multiple of the file's alignment, %" PRIu64,
                    shown(name, text), tensor->offset, gguf->alignment);
    if (tensor->offset > room || tensor->info.bytes > room - tensor->offset)
      return broken(r, tensor->info_at,
                    "tensor '%s' needs %" PRIu64 " bytes at offset %" PRIu64
                    " of the data, which starts at byte %" PRIu64 ", but the file has %" PRIu64
                    " bytes; it is truncated or damaged, so fetch it again",
                    shown(name, text), tensor->info.bytes, tensor->offset, start, gguf->size);
    tensor->info.data = gguf->map + start + tensor->offset;
  }
  return WEIR_OK;
}

weir_status gguf_parse(weir_gguf *gguf) {
  struct reader r = {.gguf = gguf, .what = "the header"};
  const uint8_t *magic;
  uint32_t version;
  uint64_t tensors, keys;
  weir_status status = take(&r, 4, "the magic", &magic);
  if (status) return status;
  if (memcmp(magic, "GGUF", 4) != 0)
    return broken(&r, 0,
                  "this is no GGUF file: it starts with %02x %02x %02x %02x instead of 47 47 55 46 (\"GGUF\"); "
                  "give a .gguf file",
                  magic[0], magic[1], magic[2], magic[3]);
  status = take_u32(&r, "the version", &version);
  if (status) return status;
  if (version != 0 && (version & 0xffff) == 0)
    return broken(&r, 4, "this is a big-endian GGUF file; weir reads little-endian ones, so convert it first");
  if (version != 2 && version != 3)
    return broken(&r, 4, "this is GGUF version %" PRIu32 "; weir reads versions 2 and 3, so convert the model %s",
                  version, version < 2 ? "again with today's tools" : "to one of them");
  status = take_u64(&r, "the tensor count", &tensors);
  if (!status) status = take_u64(&r, "the key count", &keys);
  if (!status) status = read_values(&r, keys, 16);
  if (!status) status = read_alignment(gguf);
  if (!status) status = read_tensors(&r, tensors, 8);
  if (!status) status = place_tensors(&r);
  return status;
}

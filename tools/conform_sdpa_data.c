/* SPDX-License-Identifier: MIT */

#include "conform_sdpa.h"

static weir_type mask_type(weir_mask mask) {
  switch (mask) {
    case WEIR_MASK_F32:
      return WEIR_F32;
    case WEIR_MASK_F16:
      return WEIR_F16;
    case WEIR_MASK_BF16:
      return WEIR_BF16;
    default:
      return WEIR_U8;
  }
}

void sdpa_set_lengths(struct sdpa_data *data, const int32_t *given) {
  const weir_sdpa_desc *desc = &data->item->desc;
  for (uint32_t b = 0; b < desc->batch; ++b) {
    int64_t len = given[b] < 0 ? 0 : given[b];
    data->given[b] = given[b];
    data->len[b] = len > desc->kv_capacity ? desc->kv_capacity : (uint32_t)len;
  }
}

/* ---- Values -------------------------------------------------------------- */

static float *draw(struct conform *c, uint64_t count, weir_type type, double deviation) {
  float *values = conform_memory(c, count * sizeof *values);
  for (uint64_t i = 0; values && i < count; ++i) {
    values[i] = (float)number_round(type, rng_normal(&c->rng) * deviation);
  }
  return values;
}

/* All q along one direction, all k along or against it, so that every score is near
 * scale * D * length of q * length of k. Lengths may be negative; with `vary` they also
 * differ from row to row. */
static void align(struct conform *c, const weir_sdpa_desc *desc, float *values, uint64_t count, weir_type type,
                  const float *direction, double length, int vary) {
  double of_row = length;
  for (uint64_t i = 0; i < count; ++i) {
    if (vary && i % desc->head_dim == 0) {
      of_row = length * (1 + 0.01 * rng_normal(&c->rng));
    }
    double around = 1 + 0.01 * rng_normal(&c->rng);
    values[i] = (float)number_round(type, of_row * (double)direction[i % desc->head_dim] * around);
  }
}

static int make_values(struct conform *c, const struct sdpa_case *item, struct sdpa_data *data) {
  const weir_sdpa_desc *desc = &item->desc;
  uint64_t d = desc->head_dim, rows = (uint64_t)desc->batch * desc->q_heads * item->q_len;
  uint64_t kv_rows = (uint64_t)desc->batch * desc->kv_heads * data->slots;
  double huge = desc->kv_type == WEIR_F16 || desc->o_type == WEIR_F16 ? 8000 : 1e30;
  data->q = draw(c, rows * d, desc->q_type, 1);
  data->k = draw(c, kv_rows * d, desc->kv_type, 1);
  data->v = draw(c, kv_rows * d, desc->kv_type, item->values == SDPA_HUGE_V ? huge : 1);
  if (!data->q || !data->k || !data->v) {
    return -1;
  }
  switch (item->values) {
    case SDPA_ALL_LOW:
    case SDPA_ABOVE:
    case SDPA_BELOW: {
      int low = item->values == SDPA_ALL_LOW;
      double length = low ? 1 : sqrt(150 / (double)d), sign = item->values == SDPA_ABOVE ? 1 : -1;
      float direction[512];
      for (uint64_t i = 0; i < d; ++i) {
        direction[i] = rng_below(&c->rng, 2) ? 1.0f : -1.0f;
      }
      align(c, desc, data->q, rows * d, desc->q_type, direction, length, !low);
      align(c, desc, data->k, kv_rows * d, desc->kv_type, direction, sign * length, !low);
      break;
    }
    case SDPA_IDENTICAL:
      for (uint64_t i = 1; i < kv_rows; ++i) {
        memcpy(data->k + i * d, data->k, d * sizeof *data->k);
      }
      break;
    case SDPA_ONE_SLOT:
      for (uint64_t g = 0; g < (uint64_t)desc->batch * desc->kv_heads; ++g) {
        uint64_t q_row = g * (desc->q_heads / desc->kv_heads) * item->q_len;
        uint64_t slot = g * data->slots + rng_below(&c->rng, data->slots);
        for (uint64_t i = 0; i < d; ++i) {
          data->k[slot * d + i] = (float)number_round(desc->kv_type, 8 * (double)data->q[q_row * d + i]);
        }
      }
      break;
    case SDPA_NAN_QUERY:
      data->q[rng_below(&c->rng, (uint32_t)rows) * d + rng_below(&c->rng, (uint32_t)d)] = NAN;
      break;
    case SDPA_NAN_PARTLY:
    case SDPA_NAN_KEY:
      for (uint32_t g = 0; g < desc->kv_heads && data->len[0] > 0; ++g) {
        uint64_t slot = (uint64_t)g * data->slots + data->len[0] - 1;
        float *values = item->values == SDPA_NAN_KEY ? data->k : data->v;
        values[slot * d + rng_below(&c->rng, (uint32_t)d)] = NAN;
      }
      break;
    default:
      break;
  }
  return 0;
}

/* Slot j of a ring of `slots`, after positions 0 .. last were written: -1, or its position. */
static int64_t ring_position(uint32_t j, uint32_t slots, int64_t last) {
  int64_t position = last - (last % slots + slots - j) % slots;
  return position >= 0 ? position : -1;
}

static int pattern_shows(struct conform *c, const struct sdpa_case *item, uint32_t b, uint32_t i, uint32_t j) {
  uint32_t len = item->kv_len[b] > 0 ? (uint32_t)item->kv_len[b] : 0, slots = item->desc.kv_capacity;
  switch (item->pattern) {
    case PATTERN_HALF:
      return j < (len + 1) / 2;
    case PATTERN_FIRST:
      return j < item->pattern_value;
    case PATTERN_RANDOM:
      return (int)rng_below(&c->rng, 2);
    case PATTERN_EMPTY_ROWS:
      return i % 2 == 1 && rng_below(&c->rng, 4) != 0;
    case PATTERN_EMPTY_TILES:
      return j % 97 == 70;
    case PATTERN_LAST:
      return j + 1 == len;
    case PATTERN_NOTHING:
      return 0;
    case PATTERN_RING: {
      int64_t start = item->pattern_value;
      int64_t position = ring_position(j, slots, start + item->q_len - 1);
      return position >= 0 && position <= start + i && position > start + i - slots / 2;
    }
    default:
      return 1;
  }
}

static int make_mask(struct conform *c, const struct sdpa_case *item, struct sdpa_data *data) {
  const weir_sdpa_desc *desc = &item->desc;
  int additive = desc->mask != WEIR_MASK_BOOL;
  data->mask_size[0] = item->mask_dims & MASK_PER_BATCH ? desc->batch : 1;
  data->mask_size[1] = item->mask_dims & MASK_PER_HEAD ? desc->q_heads : 1;
  data->mask_size[2] = item->mask_dims & MASK_PER_QUERY ? item->q_len : 1;
  data->mask_row = desc->kv_capacity + (item->kv_layout == SDPA_ODD ? 3 : item->kv_layout == SDPA_PADDED ? 8 : 0);
  if (desc->mask == WEIR_MASK_NONE) {
    return 0;
  }
  uint64_t rows = (uint64_t)data->mask_size[0] * data->mask_size[1] * data->mask_size[2];
  data->mask = conform_memory(c, rows * data->slots * sizeof *data->mask);
  for (uint64_t r = 0; data->mask && r < rows; ++r) {
    uint32_t i = (uint32_t)(r % data->mask_size[2]);
    uint32_t b = (uint32_t)(r / data->mask_size[2] / data->mask_size[1]);
    for (uint32_t j = 0; j < data->slots; ++j) {
      int shown = pattern_shows(c, item, b, i, j);
      double value = !shown ? -(double)INFINITY : additive ? rng_normal(&c->rng) * 2 : 0;
      data->mask[r * data->slots + j] = (float)(additive ? number_round(mask_type(desc->mask), value) : value);
    }
  }
  return data->mask ? 0 : -1;
}

int sdpa_data_make(struct conform *c, const struct sdpa_case *item, struct sdpa_data *out_data) {
  const weir_sdpa_desc *desc = &item->desc;
  memset(out_data, 0, sizeof *out_data);
  out_data->item = item;
  sdpa_set_lengths(out_data, item->kv_len);
  out_data->slots = 1;
  for (uint32_t b = 0; b < desc->batch; ++b) {
    out_data->slots = out_data->len[b] > out_data->slots ? out_data->len[b] : out_data->slots;
  }
  return make_values(c, item, out_data) || make_mask(c, item, out_data) ? -1 : 0;
}

int sdpa_attends(const struct sdpa_data *data, uint32_t b, uint32_t h, uint32_t i, uint32_t j, float *out_mask) {
  const weir_sdpa_desc *desc = &data->item->desc;
  int64_t position = (int64_t)data->len[b] - data->item->q_len + i;
  *out_mask = 0;
  if (j >= data->len[b] || ((desc->flags & WEIR_SDPA_CAUSAL) && j > position) ||
      (desc->window && j <= position - (int64_t)desc->window)) {
    return 0;
  }
  if (data->mask) {
    uint64_t row = data->mask_size[0] > 1 ? b : 0;
    row = row * data->mask_size[1] + (data->mask_size[1] > 1 ? h : 0);
    row = row * data->mask_size[2] + (data->mask_size[2] > 1 ? i : 0);
    *out_mask = data->mask[row * data->slots + j];
  }
  return !(*out_mask == -INFINITY);
}

/* ---- Where a device reads them ------------------------------------------- */

int tensor_make(struct conform *c, struct sdpa_tensor *tensor, weir_device *device, const char *name, weir_type type,
                const uint32_t size[3], uint32_t head_dim, enum sdpa_layout layout) {
  uint64_t d = head_dim, heads = size[1], rows = size[2];
  uint64_t step = layout == SDPA_PADDED ? d + 8 : layout == SDPA_ODD ? d + 1 : d;
  uint64_t after = layout == SDPA_PADDED ? 16 : layout == SDPA_ODD ? 3 : 0;
  tensor->type = type;
  memcpy(tensor->size, size, sizeof tensor->size);
  if (layout == SDPA_BLHD) {
    tensor->stride[0] = rows * heads * d;
    tensor->stride[1] = d;
    tensor->stride[2] = heads * d;
  } else {
    tensor->stride[2] = step;
    tensor->stride[1] = rows * step + after;
    tensor->stride[0] = heads * tensor->stride[1] + after;
  }
  uint64_t elements = tensor_at(tensor, size[0] - 1, size[1] - 1, size[2] - 1) + d;
  return buffer_make(c, &tensor->buffer, device, name, elements * number_size(type),
                     layout == SDPA_ODD ? number_size(type) : 0);
}

uint64_t tensor_at(const struct sdpa_tensor *tensor, uint32_t b, uint32_t h, uint32_t i) {
  return b * tensor->stride[0] + h * tensor->stride[1] + i * tensor->stride[2];
}

static int64_t stride_or_trap(uint32_t size, uint64_t stride) {
  return size > 1 ? (int64_t)stride : INT64_C(0x123456789abcd);
}

void tensor_strides(const struct sdpa_tensor *tensor, int64_t out_stride[3]) {
  for (int i = 0; i < 3; ++i) {
    out_stride[i] = stride_or_trap(tensor->size[i], tensor->stride[i]);
  }
}

static void write_row(struct sdpa_tensor *tensor, uint64_t at, const float *values, uint32_t d) {
  void *image = buffer_image(&tensor->buffer);
  for (uint32_t i = 0; i < d; ++i) {
    number_store(tensor->type, image, at + i, (double)values[i]);
  }
}

static void write_poison(struct sdpa_tensor *tensor, uint64_t at, uint32_t d, uint32_t salt) {
  static const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
  for (uint32_t i = 0; i < d; ++i) {
    number_store(tensor->type, buffer_image(&tensor->buffer), at + i, values[(i + salt) % 3]);
  }
}

int sdpa_send_q(struct conform *c, const struct sdpa_data *data, struct sdpa_tensor *q) {
  const float *values = data->q;
  uint32_t d = data->item->desc.head_dim;
  for (uint32_t b = 0; b < q->size[0]; ++b) {
    for (uint32_t h = 0; h < q->size[1]; ++h) {
      for (uint32_t i = 0; i < q->size[2]; ++i, values += d) {
        write_row(q, tensor_at(q, b, h, i), values, d);
      }
    }
  }
  return buffer_send(c, &q->buffer);
}

/* Does any query of any head of the group attend slot j? */
static int is_attended(const struct sdpa_data *data, uint32_t b, uint32_t g, uint32_t j) {
  uint32_t ratio = data->item->desc.q_heads / data->item->desc.kv_heads;
  float mask;
  for (uint32_t i = data->item->q_len; i-- > 0;) {
    for (uint32_t h = g * ratio; h < (g + 1) * ratio; ++h) {
      if (sdpa_attends(data, b, h, i, j, &mask)) {
        return 1;
      }
    }
  }
  return 0;
}

int sdpa_send_kv(struct conform *c, const struct sdpa_data *data, struct sdpa_tensor *k, struct sdpa_tensor *v,
                 int poison) {
  uint32_t d = data->item->desc.head_dim;
  for (uint32_t b = 0; b < k->size[0]; ++b) {
    for (uint32_t g = 0; g < k->size[1]; ++g) {
      for (uint32_t j = 0; j < k->size[2]; ++j) {
        uint64_t k_at = tensor_at(k, b, g, j), v_at = tensor_at(v, b, g, j);
        if (j >= data->slots || (poison && !is_attended(data, b, g, j))) {
          write_poison(k, k_at, d, j);
          write_poison(v, v_at, d, j + 1);
          continue;
        }
        uint64_t row = ((uint64_t)b * k->size[1] + g) * data->slots + j;
        write_row(k, k_at, data->k + row * d, d);
        write_row(v, v_at, data->v + row * d, d);
      }
    }
  }
  return buffer_send(c, &k->buffer) || buffer_send(c, &v->buffer) ? -1 : 0;
}

int sdpa_send_mask(struct conform *c, const struct sdpa_data *data, weir_device *device, struct buffer *out_buffer,
                   int64_t out_stride[3]) {
  static const unsigned char truths[] = {1, 2, 128, 255};
  const weir_sdpa_desc *desc = &data->item->desc;
  weir_type type = mask_type(desc->mask);
  uint64_t rows = (uint64_t)data->mask_size[0] * data->mask_size[1] * data->mask_size[2];
  uint64_t elements = data->mask ? (rows - 1) * data->mask_row + desc->kv_capacity : 0;
  uint64_t skew = data->item->kv_layout == SDPA_ODD ? number_size(type) : 0;
  if (buffer_make(c, out_buffer, device, "mask", elements * number_size(type), skew)) {
    return -1;
  }
  void *image = buffer_image(out_buffer);
  for (uint64_t r = 0; data->mask && r < rows; ++r) {
    for (uint32_t j = 0; j < data->slots && j < desc->kv_capacity; ++j) {
      double value = (double)data->mask[r * data->slots + j];
      if (type == WEIR_U8) {
        value = value == 0 ? truths[(r + j) % COUNT_OF(truths)] : 0;
      }
      number_store(type, image, r * data->mask_row + j, value);
    }
  }
  const uint32_t full[3] = {desc->batch, desc->q_heads, data->item->q_len};
  uint64_t stride[3] = {0, 0, data->mask_row};
  stride[1] = stride[2] * data->mask_size[2];
  stride[0] = stride[1] * data->mask_size[1];
  for (int i = 0; i < 3; ++i) {
    int broadcast = !(data->item->mask_dims >> i & 1);
    out_stride[i] = broadcast ? 0 : stride_or_trap(full[i], stride[i]);
  }
  return buffer_send(c, out_buffer);
}

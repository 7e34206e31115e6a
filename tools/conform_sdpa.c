/* SPDX-License-Identifier: MIT */

#include "conform_sdpa.h"

struct sdpa_unit {
  weir_device *device;
  weir_sdpa_desc desc;
  weir_plan *plan;
  weir_sdpa_info info;
  struct sdpa_tensor q, k, v, o;
  struct buffer mask, lengths, workspace;
  int64_t mask_stride[3];
  weir_graph *graph; /* of its one call; null: not captured yet, or never */
};

static int check_info(struct conform *c, const struct sdpa_unit *unit) {
  weir_sdpa_info info = unit->info;
  if (conform_tampered(c, CONFORM_TAMPER_INFO)) {
    info.align = 48;
  }
  if (info.align == 0 || info.align > 256 || (info.align & (info.align - 1))) {
    return conform_fail(c, "info", "align: got %u, want a power of two up to 256", info.align);
  }
  if (info.properties & ~(uint32_t)(WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC | WEIR_GRAPH_SAFE)) {
    return conform_fail(c, "info", "properties: got 0x%x, which has bits that do not exist", info.properties);
  }
  if (info.kernel[0] == 0 || !memchr(info.kernel, 0, sizeof info.kernel)) {
    return conform_fail(c, "info", "kernel: want a name that ends within %zu bytes", sizeof info.kernel);
  }
  return 0;
}

/* All buffers of the unit, filled; `slots` is its KV capacity. */
static int unit_fill(struct conform *c, struct sdpa_unit *unit, const struct sdpa_data *data, int plain) {
  const struct sdpa_case *item = data->item;
  const weir_sdpa_desc *desc = &unit->desc;
  const uint32_t q_size[3] = {desc->batch, desc->q_heads, item->q_len};
  const uint32_t kv_size[3] = {desc->batch, desc->kv_heads, desc->kv_capacity};
  enum sdpa_layout q_layout = plain ? SDPA_BHLD : item->q_layout, kv_layout = plain ? SDPA_BHLD : item->kv_layout;
  enum sdpa_layout o_layout = plain ? SDPA_BHLD : item->o_layout;
  uint32_t d = desc->head_dim;
  uint64_t lengths = desc->flags & WEIR_SDPA_KV_LEN ? desc->batch * sizeof(int32_t) : 0;
  if (tensor_make(c, &unit->q, unit->device, "q", desc->q_type, q_size, d, q_layout) ||
      tensor_make(c, &unit->k, unit->device, "k", desc->kv_type, kv_size, d, kv_layout) ||
      tensor_make(c, &unit->v, unit->device, "v", desc->kv_type, kv_size, d, kv_layout) ||
      tensor_make(c, &unit->o, unit->device, "o", desc->o_type, q_size, d, o_layout) ||
      buffer_make(c, &unit->lengths, unit->device, "kv_len", lengths, 0) ||
      buffer_make(c, &unit->workspace, unit->device, "workspace", weir_workspace_size(unit->plan, item->q_len), 0)) {
    return -1;
  }
  return sdpa_send_q(c, data, &unit->q) || sdpa_send_kv(c, data, &unit->k, &unit->v, !plain) ||
                 sdpa_send_mask(c, data, unit->device, &unit->mask, unit->mask_stride) ||
                 buffer_fill(c, &unit->lengths, data->given) || buffer_zero(c, &unit->workspace)
             ? -1
             : 0;
}

/* Between the results nothing may be written. */
static int check_gaps(struct conform *c, const struct sdpa_unit *unit) {
  const struct sdpa_tensor *o = &unit->o;
  uint64_t row_bytes = unit->desc.head_dim * number_size(o->type);
  unsigned char *content = buffer_image(&o->buffer);
  unsigned char *written = conform_memory(c, o->buffer.size);
  if (!written) {
    return -1;
  }
  for (uint32_t b = 0; b < o->size[0]; ++b) {
    for (uint32_t h = 0; h < o->size[1]; ++h) {
      for (uint32_t i = 0; i < o->size[2]; ++i) {
        memset(written + tensor_at(o, b, h, i) * number_size(o->type), 1, row_bytes);
      }
    }
  }
  for (uint64_t i = 0; i < o->buffer.size; ++i) {
    unsigned char want = i & 1 ? 0xff : 0xfb;
    unsigned char got = content[i] ^ (unsigned char)(conform_tampered(c, CONFORM_TAMPER_GAP) && !written[i]);
    if (!written[i] && got != want) {
      return conform_fail(c, "gap", "o: byte %llu of %llu, between two rows, was written (got 0x%02x, want 0x%02x)",
                          (unsigned long long)i, (unsigned long long)o->buffer.size, got, want);
    }
  }
  return 0;
}

/* The unit's one call. */
struct work {
  const struct sdpa_unit *unit;
  uint32_t q_len, kv_len;
};

static weir_status enqueue(const void *object, weir_stream stream) {
  const struct work *work = object;
  const struct sdpa_unit *unit = work->unit;
  weir_sdpa_args args = {
      .struct_size = sizeof args,
      .q_len = work->q_len,
      .kv_len = work->kv_len,
      .q = buffer_at(&unit->q.buffer),
      .k = buffer_at(&unit->k.buffer),
      .v = buffer_at(&unit->v.buffer),
      .mask = buffer_at(&unit->mask),
      .o = buffer_at(&unit->o.buffer),
      .kv_len_device = buffer_at(&unit->lengths),
      .workspace = buffer_at(&unit->workspace),
      .workspace_size = unit->workspace.size,
  };
  tensor_strides(&unit->q, args.q_stride);
  tensor_strides(&unit->k, args.k_stride);
  tensor_strides(&unit->v, args.v_stride);
  tensor_strides(&unit->o, args.o_stride);
  memcpy(args.mask_stride, unit->mask_stride, sizeof args.mask_stride);
  return weir_sdpa(unit->plan, &args, stream);
}

/* Captures with poison in q, k, v and kv_len, and replays that: kv_len is below 0 then,
 * and every result is 0; without it they are whatever NaN gives. */
static int unit_capture(struct conform *c, struct sdpa_unit *unit, const struct work *work) {
  const struct sdpa_tensor *o = &unit->o;
  if (buffer_hide(c, &unit->q.buffer) || buffer_hide(c, &unit->k.buffer) || buffer_hide(c, &unit->v.buffer) ||
      buffer_hide(c, &unit->lengths) || conform_capture(c, enqueue, work, &unit->graph)) {
    return -1;
  }
  int touched = buffer_unchanged(c, &unit->o.buffer, CONFORM_TAMPER_CAPTURE);
  if (touched || conform_replay(c, unit->graph) || buffer_receive(c, &unit->o.buffer, CONFORM_TAMPER_NONE, 1) ||
      buffer_receive(c, &unit->workspace, CONFORM_TAMPER_NONE, 0)) {
    return -1;
  }
  uint64_t rows = (uint64_t)o->size[0] * o->size[1] * o->size[2];
  for (uint64_t row = 0; (unit->desc.flags & WEIR_SDPA_KV_LEN) && row < rows; ++row) {
    uint32_t i = (uint32_t)(row % o->size[2]), h = (uint32_t)(row / o->size[2] % o->size[1]);
    uint64_t at = tensor_at(o, (uint32_t)(row / o->size[2] / o->size[1]), h, i);
    for (uint32_t e = 0; e < unit->desc.head_dim; ++e) {
      double got = number_load(o->type, buffer_image(&o->buffer), at + e);
      if (conform_tampered(c, CONFORM_TAMPER_REPLAY)) {
        got = 1;
      }
      if (!(got == 0)) {
        return conform_fail(c, "graph", "o[%llu,%u]: got %.9g, want 0, bound 0: the replay had kv_len -1",
                            (unsigned long long)row, e, got);
      }
    }
  }
  return buffer_send(c, &unit->q.buffer) || buffer_send(c, &unit->k.buffer) || buffer_send(c, &unit->v.buffer) ||
                 buffer_send(c, &unit->lengths) || buffer_poison(c, &unit->o.buffer, 0xfb, 0xff)
             ? -1
             : 0;
}

static int unit_start(struct conform *c, struct sdpa_unit *unit, const struct work *work) {
  weir_stream stream = conform_stream(c, unit->device);
  if (conform_wants_graph(c, unit->device)) {
    return (!unit->graph && unit_capture(c, unit, work)) || conform_replay(c, unit->graph) ? -1 : 0;
  }
  weir_status status = enqueue(work, stream);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "run", "weir_sdpa", status);
  }
  status = weir_synchronize(unit->device, stream);
  return status == WEIR_OK ? 0 : conform_fail_call(c, "run", "weir_synchronize", status);
}

/* Runs and brings the result home, contiguous, as elements of o_type. */
static int unit_call(struct conform *c, struct sdpa_unit *unit, const struct sdpa_data *data, void *out_o) {
  struct work work = {unit, data->item->q_len,
                      unit->desc.flags & WEIR_SDPA_KV_LEN ? UINT32_MAX : data->len[0]};
  if (buffer_poison(c, &unit->o.buffer, 0xfb, 0xff) || unit_start(c, unit, &work)) {
    return -1;
  }
  if (buffer_receive(c, &unit->o.buffer, CONFORM_TAMPER_OUTPUT_GUARD, 1) ||
      buffer_receive(c, &unit->workspace, CONFORM_TAMPER_WORK_GUARD, 0) || check_gaps(c, unit) ||
      buffer_unchanged(c, &unit->q.buffer, CONFORM_TAMPER_NONE) ||
      buffer_unchanged(c, &unit->k.buffer, CONFORM_TAMPER_INPUT) ||
      buffer_unchanged(c, &unit->v.buffer, CONFORM_TAMPER_NONE) ||
      buffer_unchanged(c, &unit->mask, CONFORM_TAMPER_NONE) ||
      buffer_unchanged(c, &unit->lengths, CONFORM_TAMPER_NONE)) {
    return -1;
  }
  uint64_t row_bytes = unit->desc.head_dim * number_size(unit->o.type), row = 0;
  for (uint32_t b = 0; b < unit->o.size[0]; ++b) {
    for (uint32_t h = 0; h < unit->o.size[1]; ++h) {
      for (uint32_t i = 0; i < unit->o.size[2]; ++i, ++row) {
        const char *from = buffer_image(&unit->o.buffer);
        memcpy((char *)out_o + row * row_bytes, from + tensor_at(&unit->o, b, h, i) * number_size(unit->o.type),
               row_bytes);
      }
    }
  }
  return 0;
}

/* What `ref` makes of the same values, contiguous and unpoisoned, in f32. */
static int ask_oracle(struct conform *c, const struct sdpa_unit *unit, const struct sdpa_data *data, float *out_o) {
  struct sdpa_unit oracle = {
      .device = c->oracle_device, .desc = unit->desc, .info = {.struct_size = sizeof oracle.info}};
  struct sdpa_case item = *data->item;
  struct sdpa_data plain = *data;
  struct conform_options clean = *c->options; /* the damage is for the plugin's results */
  const struct conform_options *saved = c->options;
  clean.tamper = CONFORM_TAMPER_NONE;
  oracle.desc.o_type = WEIR_F32;
  oracle.desc.kv_capacity = data->slots;
  oracle.desc.kv_len_hint = 0;
  item.desc = oracle.desc;
  plain.item = &item;
  plain.mask_row = data->slots;
  for (uint32_t b = 0; b < unit->desc.batch; ++b) {
    plain.given[b] = (int32_t)data->len[b];
  }
  c->options = &clean;
  int result = conform_oracle_plan(c, NULL, &oracle.desc, &oracle.plan) || unit_fill(c, &oracle, &plain, 1) ||
                       unit_call(c, &oracle, &plain, out_o)
                   ? -1
                   : 0;
  c->options = saved;
  return result;
}

struct sdpa_expectation {
  uint64_t rows, count; /* of D elements; elements */
  double *want, *bound, *oracle;
  float *oracle_o;
  unsigned char *empty;
};

static int expectation_make(struct conform *c, const struct sdpa_case *item, struct sdpa_expectation *out) {
  out->rows = (uint64_t)item->desc.batch * item->desc.q_heads * item->q_len;
  out->count = out->rows * item->desc.head_dim;
  out->want = conform_memory(c, out->count * sizeof *out->want);
  out->bound = conform_memory(c, out->count * sizeof *out->bound);
  out->oracle = conform_memory(c, out->count * sizeof *out->oracle);
  out->oracle_o = conform_memory(c, out->count * sizeof *out->oracle_o);
  out->empty = conform_memory(c, out->rows);
  return out->want && out->bound && out->oracle && out->oracle_o && out->empty ? 0 : -1;
}

static int check_empty(struct conform *c, const struct sdpa_unit *unit, const struct sdpa_expectation *expected,
                       void *o) {
  uint32_t d = unit->desc.head_dim;
  for (uint64_t row = 0; row < expected->rows; ++row) {
    for (uint32_t e = 0; expected->empty[row] && e < d; ++e) {
      if (conform_tampered(c, CONFORM_TAMPER_EMPTY)) {
        ((unsigned char *)o)[(row * d + e) * number_size(unit->desc.o_type)] ^= 1;
      }
      double got = number_load(unit->desc.o_type, o, row * d + e);
      if (!(got == 0)) {
        return conform_fail(c, "empty-row", "o[%llu,%u]: got %.9g, want 0, bound 0: the query attends nothing",
                            (unsigned long long)row, e, got);
      }
    }
  }
  return 0;
}

static int check_results(struct conform *c, const struct sdpa_unit *unit, const struct sdpa_data *data, void *o) {
  struct sdpa_expectation expected;
  uint32_t d = unit->desc.head_dim;
  size_t size = number_size(unit->desc.o_type);
  if (expectation_make(c, data->item, &expected) ||
      sdpa_expect(c, data, expected.want, expected.bound, expected.empty) ||
      ask_oracle(c, unit, data, expected.oracle_o)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_ORACLE)) {
    expected.oracle_o[expected.count - 1] = -2 * expected.oracle_o[expected.count - 1] - 1;
  }
  for (uint64_t i = 0; i < expected.count; ++i) {
    expected.oracle[i] = (double)expected.oracle_o[i];
  }
  if (conform_compare(c, "reference", "o of 'ref'", WEIR_F32, expected.oracle_o, expected.want, expected.bound,
                      expected.count, d)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_OUTPUT)) {
    ((unsigned char *)o)[expected.count * size - 1] ^= 0x40;
  }
  if (conform_tampered(c, CONFORM_TAMPER_UNWRITTEN)) {
    memset(o, 0xff, size);
  }
  for (uint64_t i = 0; conform_tampered(c, CONFORM_TAMPER_NAN) && i < expected.count; ++i) {
    if (!isfinite(expected.want[i])) {
      memset((char *)o + i * size, 0, size);
    }
  }
  return check_empty(c, unit, &expected, o) ||
                 conform_compare(c, "oracle", "o", unit->desc.o_type, o, expected.oracle, expected.bound,
                                 expected.count, d)
             ? -1
             : 0;
}

static int check_repeat(struct conform *c, struct sdpa_unit *unit, const struct sdpa_data *data, const void *first,
                        uint64_t count) {
  void *again = conform_memory(c, count * number_size(unit->desc.o_type));
  if (!again || unit_call(c, unit, data, again)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_REPEAT)) {
    *(unsigned char *)again ^= 1;
  }
  return conform_equal(c, "deterministic", "o of the second run", unit->desc.o_type, again, first, count,
                       unit->desc.head_dim);
}

/* The plan must follow kv_len on the device from call to call. */
static int check_lengths(struct conform *c, struct sdpa_unit *unit, struct sdpa_data *data, void *o) {
  struct sdpa_expectation expected;
  int32_t lengths[CASE_BATCH_MAX];
  for (uint32_t b = 0; b < unit->desc.batch; ++b) {
    lengths[b] = (int32_t)rng_below(&c->rng, data->slots + 1);
  }
  sdpa_set_lengths(data, lengths);
  if (expectation_make(c, data->item, &expected) ||
      sdpa_expect(c, data, expected.want, expected.bound, expected.empty) ||
      sdpa_send_kv(c, data, &unit->k, &unit->v, 1) || buffer_fill(c, &unit->lengths, data->given) ||
      unit_call(c, unit, data, o)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_LENGTH)) {
    ((unsigned char *)o)[expected.count * number_size(unit->desc.o_type) - 1] ^= 0x40;
  }
  return conform_compare(c, "length", "o after kv_len changed", unit->desc.o_type, o, expected.want, expected.bound,
                         expected.count, unit->desc.head_dim);
}

enum conform_status sdpa_run(struct conform *c, const struct sdpa_case *item) {
  struct sdpa_unit unit = {.device = c->device, .desc = item->desc, .info = {.struct_size = sizeof unit.info}};
  struct sdpa_data data;
  int planned = conform_plan(c, NULL, &item->desc, &unit.plan);
  if (planned != 0) {
    return planned > 0 ? CONFORM_UNSUPPORTED : CONFORM_FAIL;
  }
  weir_status status = weir_sdpa_get(unit.plan, &unit.info);
  if (status != WEIR_OK) {
    conform_fail_call(c, "info", "weir_sdpa_get", status);
    return CONFORM_FAIL;
  }
  if (conform_wants_graph(c, c->device) && !conform_can_graph(c, unit.info.properties)) {
    return CONFORM_UNSUPPORTED;
  }
  uint64_t count = (uint64_t)item->desc.batch * item->desc.q_heads * item->q_len * item->desc.head_dim;
  void *first = conform_memory(c, count * number_size(item->desc.o_type));
  void *o = conform_memory(c, count * number_size(item->desc.o_type));
  if (!first || !o || check_info(c, &unit) || sdpa_data_make(c, item, &data) || unit_fill(c, &unit, &data, 0) ||
      unit_call(c, &unit, &data, first)) {
    return CONFORM_FAIL;
  }
  conform_note_kernel(c, unit.info.kernel);
  memcpy(o, first, count * number_size(item->desc.o_type));
  if (check_results(c, &unit, &data, o) ||
      ((unit.info.properties & WEIR_DETERMINISTIC) && check_repeat(c, &unit, &data, first, count)) ||
      ((item->desc.flags & WEIR_SDPA_KV_LEN) && check_lengths(c, &unit, &data, o))) {
    return CONFORM_FAIL;
  }
  return CONFORM_PASS;
}

/* SPDX-License-Identifier: MIT */

#include "conform_matvec.h"

static int check_info(struct conform *c, const struct matvec_unit *unit) {
  weir_matvec_info info = unit->info;
  if (conform_tampered(c, CONFORM_TAMPER_INFO)) {
    info.align = 48;
  }
  if (info.align == 0 || info.align > 256 || (info.align & (info.align - 1))) {
    return conform_fail(c, "info", "align: got %u, want a power of two up to 256", info.align);
  }
  if (info.act != unit->desc.act && info.act != WEIR_ACT_EXACT) {
    return conform_fail(c, "info", "act: got %u, want %u or WEIR_ACT_EXACT", info.act, unit->desc.act);
  }
  if (info.weight_bytes == 0 || info.weight_bytes > info.packed_size) {
    return conform_fail(c, "info", "weight_bytes: got %llu, want 1 to packed_size, %llu",
                        (unsigned long long)info.weight_bytes, (unsigned long long)info.packed_size);
  }
  if (info.properties & ~(uint32_t)(WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC | WEIR_GRAPH_SAFE)) {
    return conform_fail(c, "info", "properties: got 0x%x, which has bits that do not exist", info.properties);
  }
  if (info.kernel[0] == 0 || !memchr(info.kernel, 0, sizeof info.kernel)) {
    return conform_fail(c, "info", "kernel: want a name that ends within %zu bytes", sizeof info.kernel);
  }
  for (uint32_t m = 1; m <= unit->desc.m_max; ++m) {
    if (weir_act_size(unit->plan, m) == 0) {
      return conform_fail(c, "info", "weir_act_size(%u): got 0, want bytes; m_max is %u", m, unit->desc.m_max);
    }
  }
  return 0;
}

/* Rows cut at random and packed in random order into memory poisoned otherwise. */
static int check_pack(struct conform *c, struct matvec_unit *unit, const struct matvec_data *data,
                      const struct buffer *whole) {
  enum { MOST = 6 };
  const weir_matvec_desc *desc = &unit->desc;
  uint32_t cuts[MOST + 1] = {0}, order[MOST], pieces = desc->n < MOST ? desc->n : MOST;
  struct buffer packed;
  for (uint32_t i = 1; i <= pieces; ++i) { /* every piece has a row, the last ends at n */
    uint32_t room = desc->n - (pieces - i) - cuts[i - 1];
    cuts[i] = i == pieces ? desc->n : cuts[i - 1] + 1 + rng_below(&c->rng, room);
  }
  for (uint32_t i = 0; i < pieces; ++i) {
    uint32_t j = rng_below(&c->rng, i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  if (buffer_make(c, &packed, NULL, "packed in pieces", unit->info.packed_size, 0) ||
      buffer_poison(c, &packed, 0x5a, 0x33)) {
    return -1;
  }
  uint64_t row_stride = data->source.row_stride, code_bytes = desc->op == WEIR_OP_INT4_MATVEC ? desc->k / 2 : desc->k;
  if (data->source.row_stride == 0 && data->source.group_stride == 0) {
    row_stride = desc->k / desc->group;
  }
  for (uint32_t i = 0; i < pieces; ++i) {
    uint32_t n0 = cuts[order[i]], n1 = cuts[order[i] + 1];
    weir_matvec_source source = data->source;
    source.codes = (const char *)source.codes + n0 * code_bytes;
    source.scales = (const char *)source.scales + n0 * row_stride * number_size(desc->scale_type);
    if (source.zeros) {
      source.zeros = (const char *)source.zeros + n0 * row_stride * number_size(desc->zero_type);
    }
    weir_status status = weir_pack(unit->plan, &source, n0, n1, buffer_at(&packed), packed.size);
    if (status != WEIR_OK) {
      return conform_fail_call(c, "pack", "weir_pack", status);
    }
  }
  if (buffer_receive(c, &packed, CONFORM_TAMPER_NONE, 0)) {
    return -1;
  }
  unsigned char *pieced = buffer_image(&packed), *one_go = buffer_image(whole);
  if (conform_tampered(c, CONFORM_TAMPER_PACK)) {
    pieced[packed.size / 2] ^= 1;
  }
  for (uint64_t i = 0; i < packed.size; ++i) {
    if (pieced[i] != one_go[i]) {
      return conform_fail(c, "pack",
                          "packed[%llu] of %llu: got 0x%02x, want 0x%02x: the bytes depend on the cut of the rows, or "
                          "were never written",
                          (unsigned long long)i, (unsigned long long)packed.size, pieced[i], one_go[i]);
    }
  }
  return buffer_unchanged(c, &data->codes, CONFORM_TAMPER_NONE) ||
                 buffer_unchanged(c, &data->scales, CONFORM_TAMPER_NONE) ||
                 buffer_unchanged(c, &data->zeros, CONFORM_TAMPER_NONE)
             ? -1
             : 0;
}

/* A plan for one row that names the same layout packs the same bytes. */
static int check_layout(struct conform *c, const struct matvec_unit *unit, const struct matvec_data *data,
                        const struct buffer *whole) {
  struct matvec_unit one = {.device = c->device, .desc = unit->desc};
  weir_matvec_info info = {.struct_size = sizeof info};
  struct buffer packed;
  one.desc.m_max = 1;
  if (unit->desc.m_max == 1) {
    return 0;
  }
  int planned = conform_plan(c, &one.desc, NULL, &one.plan);
  if (planned != 0) {
    c->detail[0] = planned < 0 ? c->detail[0] : 0;
    return planned < 0 ? -1 : 0;
  }
  weir_status status = weir_matvec_get(one.plan, &info);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "layout", "weir_matvec_get", status);
  }
  if (info.packed_tag != unit->info.packed_tag || info.packed_size != unit->info.packed_size) {
    return 0;
  }
  if (buffer_make(c, &packed, NULL, "packed for one row", info.packed_size, 0)) {
    return -1;
  }
  status = weir_pack(one.plan, &data->source, 0, one.desc.n, buffer_at(&packed), packed.size);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "layout", "weir_pack", status);
  }
  if (buffer_receive(c, &packed, CONFORM_TAMPER_NONE, 0)) {
    return -1;
  }
  unsigned char *of_one = buffer_image(&packed), *of_many = buffer_image(whole);
  if (conform_tampered(c, CONFORM_TAMPER_LAYOUT)) {
    of_one[packed.size - 1] ^= 1;
  }
  for (uint64_t i = 0; i < packed.size; ++i) {
    if (of_one[i] != of_many[i]) {
      return conform_fail(c, "layout",
                          "packed[%llu] of %llu by a plan for one row: got 0x%02x, want 0x%02x as for m_max %u, whose "
                          "packed_tag and packed_size are the same",
                          (unsigned long long)i, (unsigned long long)packed.size, of_one[i], of_many[i],
                          unit->desc.m_max);
    }
  }
  return 0;
}

/* What `ref` makes of it, with f32 results. */
static int ask_oracle(struct conform *c, const struct matvec_unit *unit, const struct matvec_data *data, uint32_t m,
                      weir_act act, double *out_want) {
  struct matvec_unit oracle = {
      .device = c->oracle_device, .desc = unit->desc, .info = {.struct_size = sizeof oracle.info}};
  struct matvec_call call;
  struct buffer host;
  struct conform_options clean = *c->options; /* the damage is for the plugin's results */
  const struct conform_options *saved = c->options;
  oracle.desc.y_type = WEIR_F32;
  oracle.desc.act = act;
  clean.tamper = CONFORM_TAMPER_NONE;
  c->options = &clean;
  int result = conform_oracle_plan(c, &oracle.desc, NULL, &oracle.plan) || unit_pack(c, &oracle, data, 0, &host) ||
                       unit_run(c, &oracle, m, data->x, 0, &call)
                   ? -1
                   : 0;
  c->options = saved;
  for (uint64_t i = 0; result == 0 && i < (uint64_t)m * unit->desc.n; ++i) {
    out_want[i] = number_load(WEIR_F32, buffer_image(&call.y), i);
  }
  return result;
}

/* Does the case's data stand for what a model has, so that 8 bits are enough? */
static int is_ordinary(const struct matvec_case *item, const weir_matvec_desc *desc) {
  return item->values == VALUES_ORDINARY && (uint64_t)item->m * desc->n >= 64 && desc->k >= 64;
}

/* `recipe` is what the 8-bit recipe gives. Where even that is close to the limit, a few
 * sums happen to have cancelled, and the data says nothing about the plugin. */
static int check_snr(struct conform *c, const struct matvec_unit *unit, const struct matvec_data *data, uint32_t m,
                     const void *y, const double *recipe) {
  uint64_t count = (uint64_t)m * unit->desc.n;
  double *exact = conform_memory(c, count * sizeof *exact), signal = 0, noise = 0, recipe_noise = 0;
  if (!exact || ask_oracle(c, unit, data, m, WEIR_ACT_EXACT, exact)) {
    return -1;
  }
  for (uint64_t i = 0; i < count; ++i) {
    double got = number_load(unit->desc.y_type, y, i);
    if (conform_tampered(c, CONFORM_TAMPER_SNR) && i % 2 == 0) {
      got *= 1.02;
    }
    signal += exact[i] * exact[i];
    noise += (got - exact[i]) * (got - exact[i]);
    recipe_noise += (recipe[i] - exact[i]) * (recipe[i] - exact[i]);
  }
  if (10 * log10(signal / recipe_noise) < 42) {
    return 0;
  }
  double snr = 10 * log10(signal / noise);
  if (noise != 0 && !(snr >= 40)) {
    return conform_fail(c, "snr", "y: got %.2f dB against unquantised activations, want 40 dB", snr);
  }
  return 0;
}

static int check_results(struct conform *c, const struct matvec_case *item, const struct matvec_unit *unit,
                         const struct matvec_data *data, void *y) {
  const weir_matvec_desc *desc = &unit->desc;
  uint64_t count = (uint64_t)item->m * desc->n;
  size_t size = number_size(desc->y_type);
  double *want = conform_memory(c, count * sizeof *want), *bound = conform_memory(c, count * sizeof *bound);
  double *own = conform_memory(c, count * sizeof *own);
  float *narrowed = conform_memory(c, count * sizeof *narrowed);
  if (!want || !bound || !own || !narrowed ||
      matvec_expect(c, desc, data, data->x, item->m, unit->info.act, own, bound) ||
      ask_oracle(c, unit, data, item->m, unit->info.act, want)) {
    return -1;
  }
  for (uint64_t i = 0; i < count; ++i) {
    narrowed[i] = (float)want[i];
  }
  if (conform_tampered(c, CONFORM_TAMPER_ORACLE)) {
    narrowed[count - 1] = -2 * narrowed[count - 1] - 1;
  }
  if (conform_compare(c, "reference", "y of 'ref'", WEIR_F32, narrowed, own, bound, count, desc->n)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_OUTPUT)) {
    ((unsigned char *)y)[count * size - 1] ^= 0x40;
  }
  if (conform_tampered(c, CONFORM_TAMPER_UNWRITTEN)) {
    memset(y, 0xff, size);
  }
  if (conform_compare(c, "oracle", "y", desc->y_type, y, want, bound, count, desc->n)) {
    return -1;
  }
  if (unit->info.act == WEIR_ACT_INT8 && is_ordinary(item, desc)) {
    return check_snr(c, unit, data, item->m, y, want);
  }
  return 0;
}

/* A row of zeros gives the bias, rounded, and nothing else. */
static int check_zero_row(struct conform *c, const struct matvec_unit *unit, const struct matvec_data *data, void *y) {
  const weir_matvec_desc *desc = &unit->desc;
  size_t size = number_size(desc->y_type);
  if (data->zero_row == UINT32_MAX) {
    return 0;
  }
  for (uint32_t i = 0; i < desc->n; ++i) {
    uint64_t at = (uint64_t)data->zero_row * desc->n + i;
    if (conform_tampered(c, CONFORM_TAMPER_EMPTY)) {
      ((unsigned char *)y)[at * size] ^= 1;
    }
    double got = number_load(desc->y_type, y, at);
    double want = data->bias ? number_round(desc->y_type, number_load(desc->bias_type, data->bias, i)) : 0;
    if (!(got == want)) {
      return conform_fail(c, "zero-row", "y[%u,%u]: got %.9g, want %.9g, bound 0: the row of x is all zeros",
                          data->zero_row, i, got, want);
    }
  }
  return 0;
}

static int check_rows(struct conform *c, const struct matvec_case *item, struct matvec_unit *unit,
                      const struct matvec_data *data, const void *y) {
  const weir_matvec_desc *desc = &unit->desc;
  uint64_t x_bytes = (uint64_t)desc->k * number_size(desc->x_type);
  uint64_t y_bytes = (uint64_t)desc->n * number_size(desc->y_type);
  for (uint32_t r = 0; r < item->m; ++r) {
    struct matvec_call call;
    if (unit_run(c, unit, 1, (const char *)data->x + r * x_bytes, 0, &call)) {
      return -1;
    }
    unsigned char *row = buffer_image(&call.y);
    if (conform_tampered(c, CONFORM_TAMPER_ROW)) {
      row[0] ^= 1;
    }
    char what[64];
    snprintf(what, sizeof what, "y of row %u alone (M = 1)", r);
    if (conform_equal(c, "row-invariant", what, desc->y_type, row, (const char *)y + r * y_bytes, desc->n, desc->n)) {
      return -1;
    }
  }
  return 0;
}

static int check_repeat(struct conform *c, const struct matvec_case *item, struct matvec_unit *unit,
                        struct matvec_call *call, const void *y) {
  if (call_again(c, unit, call)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_REPEAT)) {
    *(unsigned char *)buffer_image(&call->y) ^= 1;
  }
  return conform_equal(c, "deterministic", "y of the second run", unit->desc.y_type, buffer_image(&call->y), y,
                       (uint64_t)item->m * unit->desc.n, unit->desc.n);
}

/* Other plans that say they read this plan's act must give the same with it. */
static int check_share(struct conform *c, const struct matvec_case *item, struct matvec_unit *unit,
                       struct matvec_call *call) {
  for (int variant = 0; variant < 3 && unit->info.act_tag != 0; ++variant) {
    struct matvec_unit other = {
        .device = c->device, .desc = unit->desc, .info = {.struct_size = sizeof other.info}};
    struct matvec_data data;
    struct matvec_call own, shared;
    struct buffer host;
    weir_matvec_info info = {.struct_size = sizeof info};
    weir_matvec_desc *desc = &other.desc;
    desc->n += 3;
    if (variant == 1 && desc->k % 64 == 0) {
      desc->group = desc->group == 32 ? 64 : 32;
    }
    if (variant == 2 && desc->k % 2 == 0) {
      desc->op = desc->op == WEIR_OP_INT4_MATVEC ? WEIR_OP_INT8_MATVEC : WEIR_OP_INT4_MATVEC;
    }
    desc->y_type = WEIR_F32;
    int planned = conform_plan(c, desc, NULL, &other.plan);
    if (planned != 0) {
      if (planned < 0) {
        return -1;
      }
      c->detail[0] = 0;
      continue;
    }
    if (weir_matvec_get(other.plan, &info) != WEIR_OK || info.act_tag != unit->info.act_tag) {
      continue;
    }
    uint64_t size = weir_act_size(other.plan, item->m);
    if (size != call->act.size) {
      return conform_fail(c, "act-share", "act_size of a plan with the same act_tag: got %llu, want %llu",
                          (unsigned long long)size, (unsigned long long)call->act.size);
    }
    if (matvec_data_make(c, item, desc, &data)) {
      return -1;
    }
    memcpy(data.x, buffer_image(&call->x), call->x.size);
    if (unit_pack(c, &other, &data, 0, &host) || unit_run(c, &other, item->m, data.x, 0, &own) ||
        call_make(c, &other, item->m, data.x, 0, &shared) || call_matvec(c, &other, &shared, &call->act)) {
      return -1;
    }
    if (conform_tampered(c, CONFORM_TAMPER_SHARE)) {
      *(unsigned char *)buffer_image(&shared.y) ^= 1;
    }
    if (conform_equal(c, "act-share", "y with another plan's act", desc->y_type, buffer_image(&shared.y),
                      buffer_image(&own.y), (uint64_t)item->m * desc->n, desc->n)) {
      return -1;
    }
  }
  return 0;
}

/* One value that is not finite: all of its row is lost, and nothing else. */
static int check_nan(struct conform *c, const struct matvec_case *item, struct matvec_unit *unit,
                     const struct matvec_data *data, const void *y) {
  static const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
  const weir_matvec_desc *desc = &unit->desc;
  uint64_t x_count = (uint64_t)item->m * desc->k, size = number_size(desc->y_type);
  uint64_t x_bytes = x_count * number_size(desc->x_type);
  void *x = conform_memory(c, x_bytes);
  if (!x) {
    return -1;
  }
  for (size_t v = 0; v < COUNT_OF(values); ++v) {
    struct matvec_call call;
    uint32_t row = rng_below(&c->rng, item->m);
    uint32_t at = v == 0 ? desc->k - 1 : v == 1 ? 0 : rng_below(&c->rng, desc->k);
    memcpy(x, data->x, x_bytes);
    number_store(desc->x_type, x, (uint64_t)row * desc->k + at, values[v]);
    if (unit_run(c, unit, item->m, x, item->unaligned, &call)) {
      return -1;
    }
    if (linear_check_nan(c, unit, (const char *)x + (uint64_t)row * desc->k * number_size(desc->x_type))) {
      return -1;
    }
    unsigned char *got = buffer_image(&call.y);
    if (conform_tampered(c, CONFORM_TAMPER_NAN)) {
      memset(got + (uint64_t)row * desc->n * size, 0, size);
    }
    if (conform_tampered(c, CONFORM_TAMPER_NAN_NEIGHBOUR)) {
      got[(uint64_t)(row == 0 && item->m > 1) * desc->n * size] ^= 1;
    }
    for (uint32_t r = 0; r < item->m; ++r) {
      if (r != row) {
        char what[64];
        snprintf(what, sizeof what, "y of row %u, with %g in x[%u,%u]", r, values[v], row, at);
        uint64_t from = (uint64_t)r * desc->n * size;
        if ((unit->info.properties & WEIR_DETERMINISTIC) &&
            conform_equal(c, "nan-neighbour", what, desc->y_type, got + from, (const char *)y + from, desc->n,
                          desc->n)) {
          return -1;
        }
        continue;
      }
      for (uint32_t i = 0; i < desc->n; ++i) {
        double result = number_load(desc->y_type, got, (uint64_t)r * desc->n + i);
        if (isfinite(result)) {
          return conform_fail(c, "nan-row", "y[%u,%u]: got %.9g, want NaN or an infinity: x[%u,%u] is %g", r, i, result,
                              row, at, values[v]);
        }
      }
    }
  }
  return 0;
}

/* Another plugin must come to the same bits. */
static int check_identical(struct conform *c, const struct matvec_case *item, const struct matvec_data *data,
                           const void *y) {
  const weir_matvec_desc *desc = &item->desc;
  struct matvec_unit twin = {.device = c->device, .desc = *desc, .info = {.struct_size = sizeof twin.info}};
  struct matvec_call call;
  struct buffer host;
  char what[96];
  if (conform_twin_plan(c, desc, &twin.plan) || unit_pack(c, &twin, data, item->unaligned, &host) ||
      unit_run(c, &twin, item->m, data->x, item->unaligned, &call)) {
    return -1;
  }
  if (conform_tampered(c, CONFORM_TAMPER_BITS)) {
    *(unsigned char *)buffer_image(&call.y) ^= 1;
  }
  snprintf(what, sizeof what, "y of %s", c->options->bit_identical);
  return conform_equal(c, "bit-identical", what, desc->y_type, buffer_image(&call.y), y, (uint64_t)item->m * desc->n,
                       desc->n);
}

enum conform_status matvec_run(struct conform *c, const struct matvec_case *item) {
  struct matvec_unit unit = {.device = c->device, .desc = item->desc, .info = {.struct_size = sizeof unit.info}};
  struct matvec_data data;
  struct matvec_call call;
  struct buffer host;
  int planned = conform_plan(c, &item->desc, NULL, &unit.plan);
  if (planned != 0) {
    return planned > 0 ? CONFORM_UNSUPPORTED : CONFORM_FAIL;
  }
  if (matvec_data_make(c, item, &item->desc, &data) || unit_pack(c, &unit, &data, item->unaligned, &host)) {
    return CONFORM_FAIL;
  }
  if (conform_wants_graph(c, c->device) && !conform_can_graph(c, unit.info.properties)) {
    return CONFORM_UNSUPPORTED;
  }
  if (check_info(c, &unit) || check_pack(c, &unit, &data, &host) || check_layout(c, &unit, &data, &host) ||
      unit_run(c, &unit, item->m, data.x, item->unaligned, &call)) {
    return CONFORM_FAIL;
  }
  conform_note_kernel(c, unit.info.kernel);
  uint64_t bytes = call.y.size;
  void *y = conform_memory(c, bytes);
  if (!y) {
    return CONFORM_FAIL;
  }
  memcpy(y, buffer_image(&call.y), bytes);
  if ((c->options->bit_identical && check_identical(c, item, &data, y)) ||
      check_results(c, item, &unit, &data, y) || check_zero_row(c, &unit, &data, y) ||
      ((unit.info.properties & WEIR_ROW_INVARIANT) && check_rows(c, item, &unit, &data, y)) ||
      ((unit.info.properties & WEIR_DETERMINISTIC) && check_repeat(c, item, &unit, &call, y)) ||
      ((unit.info.properties & WEIR_DETERMINISTIC) && linear_check(c, item, &unit, data.x, y)) ||
      (item->share && check_share(c, item, &unit, &call)) ||
      (item->values == VALUES_NAN && check_nan(c, item, &unit, &data, y))) {
    return CONFORM_FAIL;
  }
  return CONFORM_PASS;
}

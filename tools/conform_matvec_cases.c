/* SPDX-License-Identifier: MIT */

/* The matvec cases: one dimension at a time from a plain problem, the pairs that
 * are known to hurt, then random combinations of everything. */

#include "conform_case.h"

static const uint32_t odd_n[] = {1, 3, 7, 8, 9, 17, 31, 33, 64, 100, 257};
static const uint32_t many_m[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 33};
static const weir_type floats[] = {WEIR_BF16, WEIR_F16, WEIR_F32};

static const struct {
  uint32_t group; /* 0: k */
  uint32_t k[8];
} groups[] = {
    {16, {16, 48, 80, 112, 272, 336, 2304}},
    {32, {32, 96, 160, 288, 352, 1056, 2304}},
    {64, {64, 192, 320, 448, 704, 2304}},
    {128, {128, 384, 640, 896, 2304}},
    {256, {256, 768, 1280, 2304}},
    {0, {38, 100, 74, 418, 2306}}, /* int8 takes one off: odd k */
};

static const char *const layout_names[LAYOUT_COUNT] = {
    [LAYOUT_DEFAULT] = "default", [LAYOUT_NG] = "ng",           [LAYOUT_GN] = "gn",
    [LAYOUT_NG_PADDED] = "ng+",   [LAYOUT_GN_PADDED] = "gn+",
};

static const char *const values_names[VALUES_COUNT] = {
    [VALUES_ORDINARY] = "ordinary",
    [VALUES_NEGATIVE_SCALES] = "negative-scales",
    [VALUES_MIXED_SCALES] = "mixed-scales",
    [VALUES_TINY_SCALES] = "tiny-scales",
    [VALUES_HUGE_SCALES] = "huge-scales",
    [VALUES_SUBNORMAL_SCALES] = "subnormal-scales",
    [VALUES_MAX_SCALES] = "max-scales",
    [VALUES_ZERO_SCALES] = "zero-scales",
    [VALUES_TIES] = "ties",
    [VALUES_OUTLIERS] = "outliers",
    [VALUES_TINY_X] = "tiny-x",
    [VALUES_HUGE_X] = "huge-x",
    [VALUES_ZERO_BLOCKS] = "zero-blocks",
    [VALUES_EXTREME_CODES] = "extreme-codes",
    [VALUES_CONSTANT] = "constant",
    [VALUES_NAN] = "nan",
};

static struct matvec_case start(weir_op op, uint32_t group, uint32_t n, uint32_t k, uint32_t m) {
  struct matvec_case item = {
      .desc =
          {
              .struct_size = sizeof(weir_matvec_desc),
              .op = op,
              .n = n,
              .k = k,
              .m_max = m,
              .group = group ? group : k,
              .scale_type = WEIR_BF16,
              .x_type = WEIR_BF16,
              .y_type = WEIR_BF16,
          },
      .m = m,
      .layout = LAYOUT_NG,
  };
  return item;
}

static int is_usual_group(uint32_t group) {
  return group >= 16 && group <= 256 && (group & (group - 1)) == 0;
}

static int is_half(weir_type type) { return type == WEIR_F16; }

/* Are the values in range of the types? Sums must stay finite in f32. */
static int fits(const struct matvec_case *item) {
  const weir_matvec_desc *desc = &item->desc;
  switch (item->values) {
    case VALUES_TINY_SCALES:
    case VALUES_HUGE_SCALES:
      return !is_half(desc->scale_type) && (desc->form == WEIR_FORM_ZERO || !is_half(desc->zero_type));
    case VALUES_SUBNORMAL_SCALES:
      return is_half(desc->scale_type);
    case VALUES_TINY_X:
    case VALUES_HUGE_X:
      return !is_half(desc->x_type);
    default:
      return 1;
  }
}

static void add(struct case_list *list, const struct matvec_case *item, int quick, const char *note) {
  const weir_matvec_desc *desc = &item->desc;
  struct conform_case named = {.op = desc->op, .quick = quick, .u.matvec = *item};
  if (!fits(item)) {
    return;
  }
  case_append(named.name, "%s/", desc->op == WEIR_OP_INT4_MATVEC ? "int4" : "int8");
  if (desc->group == desc->k && !is_usual_group(desc->group)) {
    case_append(named.name, "groupk/");
  } else {
    case_append(named.name, "group%u/", desc->group);
  }
  case_append(named.name, "n%u-k%u-m%u", desc->n, desc->k, item->m);
  if (desc->m_max != item->m) {
    case_append(named.name, "of%u", desc->m_max);
  }
  case_append(named.name, "/%s-%s/scale-%s-%s/x-%s-y-%s", desc->form == WEIR_FORM_MIN ? "min" : "zero",
              number_name(desc->zero_type), number_name(desc->scale_type), layout_names[item->layout],
              number_name(desc->x_type), number_name(desc->y_type));
  if (desc->bias_type != WEIR_NONE) {
    case_append(named.name, "/bias-%s", number_name(desc->bias_type));
  }
  if (desc->act == WEIR_ACT_EXACT) {
    case_append(named.name, "/exact");
  }
  if (item->unaligned) {
    case_append(named.name, "/unaligned");
  }
  case_append(named.name, "/%s", values_names[item->values]);
  if (note) {
    case_append(named.name, "/%s", note);
  }
  case_add(list, &named);
}

static uint32_t fit_k(weir_op op, size_t g, uint32_t k) {
  return groups[g].group == 0 && op == WEIR_OP_INT8_MATVEC ? k - 1 : k;
}

static void add_shapes(struct case_list *list, weir_op op) {
  uint32_t turn = 0;
  for (size_t g = 0; g < COUNT_OF(groups); ++g) {
    for (size_t i = 0; i < COUNT_OF(groups[g].k) && groups[g].k[i]; ++i) {
      for (int round = 0; round < 2; ++round, ++turn) {
        struct matvec_case item = start(op, groups[g].group, odd_n[turn % COUNT_OF(odd_n)],
                                        fit_k(op, g, groups[g].k[i]), many_m[turn * 3 % COUNT_OF(many_m)]);
        item.desc.scale_type = floats[turn % 2];
        item.layout = turn % 3 == 0 ? LAYOUT_GN : LAYOUT_NG;
        add(list, &item, turn % 5 == 0, NULL);
      }
    }
  }
  for (size_t i = 0; i < COUNT_OF(many_m); ++i) {
    struct matvec_case item = start(op, 32, 64, 352, many_m[i]);
    add(list, &item, 1, NULL);
    item = start(op, 128, 33, 640, many_m[i]);
    add(list, &item, 0, NULL);
    item.desc.m_max = many_m[i] + 8;
    add(list, &item, i == 2, NULL);
  }
  for (size_t i = 0; i < COUNT_OF(odd_n); ++i) {
    struct matvec_case item = start(op, 32, odd_n[i], 288, 2);
    add(list, &item, i % 3 == 0, NULL);
    item = start(op, 64, odd_n[i], 2304, 1);
    add(list, &item, i == 5, NULL);
  }
  if (op == WEIR_OP_INT8_MATVEC) {
    struct matvec_case item = start(op, 0, 5, 1, 3);
    add(list, &item, 1, NULL);
  } else {
    struct matvec_case item = start(op, 0, 5, 2, 3);
    add(list, &item, 1, NULL);
  }
}

static const struct {
  weir_form form;
  weir_type int4, int8;
} zeros[] = {
    {WEIR_FORM_ZERO, WEIR_NONE, WEIR_NONE}, {WEIR_FORM_ZERO, WEIR_U8, WEIR_S8},    {WEIR_FORM_ZERO, WEIR_F16, WEIR_F16},
    {WEIR_FORM_ZERO, WEIR_BF16, WEIR_BF16}, {WEIR_FORM_ZERO, WEIR_F32, WEIR_F32},  {WEIR_FORM_MIN, WEIR_F16, WEIR_F16},
    {WEIR_FORM_MIN, WEIR_BF16, WEIR_BF16},  {WEIR_FORM_MIN, WEIR_F32, WEIR_F32},
};

static void set_zero(struct matvec_case *item, size_t z) {
  item->desc.form = zeros[z].form;
  item->desc.zero_type = item->desc.op == WEIR_OP_INT4_MATVEC ? zeros[z].int4 : zeros[z].int8;
}

static void add_types(struct case_list *list, weir_op op) {
  for (size_t g = 0; g < COUNT_OF(groups); ++g) {
    for (size_t z = 0; z < COUNT_OF(zeros); ++z) {
      struct matvec_case item = start(op, groups[g].group, 17, fit_k(op, g, groups[g].k[1]), 3);
      item.desc.scale_type = floats[z % 3];
      set_zero(&item, z);
      add(list, &item, g == 1 || z == 2, NULL);
    }
  }
  for (int layout = 0; layout < LAYOUT_COUNT; ++layout) {
    for (size_t s = 0; s < COUNT_OF(floats); ++s) {
      struct matvec_case item = start(op, 16, 31, 272, 2);
      item.desc.scale_type = floats[s];
      item.layout = (enum matvec_layout)layout;
      set_zero(&item, 1 + s);
      add(list, &item, s == 0, NULL);
    }
  }
  for (size_t x = 0; x < COUNT_OF(floats); ++x) {
    for (size_t y = 0; y < COUNT_OF(floats); ++y) {
      for (size_t b = 0; b <= COUNT_OF(floats); ++b) {
        struct matvec_case item = start(op, 32, 33, 160, 3);
        item.desc.x_type = floats[x];
        item.desc.y_type = floats[y];
        item.desc.bias_type = b ? floats[b - 1] : WEIR_NONE;
        item.unaligned = (x + y + b) % 2 == 1;
        add(list, &item, (x + y + b) % 3 == 0, NULL);
      }
    }
  }
}

static void add_values(struct case_list *list, weir_op op) {
  static const weir_type scale_of[] = {WEIR_BF16, WEIR_F32, WEIR_F16};
  for (int values = 0; values < VALUES_COUNT; ++values) {
    for (size_t g = 0; g < COUNT_OF(groups); ++g) {
      for (size_t s = 0; s < COUNT_OF(scale_of); ++s) {
        struct matvec_case item = start(op, groups[g].group, 33, fit_k(op, g, groups[g].k[2]), 4);
        size_t turn = (size_t)values + g + s;
        item.desc.scale_type = scale_of[s];
        item.desc.y_type = values == VALUES_SUBNORMAL_SCALES ? floats[s] : floats[turn % 3 == 1 ? 2 : 0];
        item.desc.x_type = floats[turn % 3];
        item.desc.bias_type = values == VALUES_ZERO_BLOCKS ? floats[turn % 3] : WEIR_NONE;
        item.values = (enum matvec_values)values;
        set_zero(&item, turn % COUNT_OF(zeros));
        if (g < 3 || (turn & 1)) {
          add(list, &item, g == 1, NULL);
        }
      }
    }
  }
  for (size_t g = 0; g < COUNT_OF(groups); ++g) {
    struct matvec_case item = start(op, groups[g].group, 20, fit_k(op, g, groups[g].k[3]), 5);
    item.share = 1;
    add(list, &item, g < 2, "share");
    item.desc.act = WEIR_ACT_EXACT;
    add(list, &item, g == 0, "share");
  }
}

static void add_exact(struct case_list *list, weir_op op) {
  for (size_t g = 0; g < COUNT_OF(groups); ++g) {
    for (size_t t = 0; t < COUNT_OF(floats); ++t) {
      struct matvec_case item = start(op, groups[g].group, 19, fit_k(op, g, groups[g].k[2]), 3);
      item.desc.act = WEIR_ACT_EXACT;
      item.desc.x_type = floats[t];
      item.desc.y_type = floats[(t + g) % 3];
      set_zero(&item, (g + 3 * t) % COUNT_OF(zeros));
      item.values = t == 1 ? VALUES_NAN : t == 2 ? VALUES_ZERO_BLOCKS : VALUES_ORDINARY;
      add(list, &item, g == 1, NULL);
    }
  }
}

static void add_reference(struct case_list *list, weir_op op) {
  static const struct {
    const char *name;
    uint32_t m, n, k, group;
    int quick;
  } rows[] = {
      {"multi-group-random", 1, 4, 32, 16, 1},
      {"single-group", 1, 8, 32, 32, 1},
      {"prefill-batch", 8, 4, 64, 32, 1},
      {"group-size-128", 1, 2, 256, 128, 1},
      {"real-int4-tensor-layout", 1, 8, 64, 32, 1},
      {"single-super-block", 1, 8, 256, 32, 0},
      {"multi-super-block", 1, 4, 512, 32, 0},
      {"wide-n", 1, 16, 256, 32, 0},
      {"packed-shuffle-multi-super", 1, 8, 1024, 32, 0},
      {"q6k-single-super-block", 2, 4, 256, 16, 0},
      {"q6k-multi-super-block", 1, 6, 512, 16, 0},
      {"q6k-wide-n", 1, 16, 256, 16, 0},
      {"square-groups", 1, 16, 512, 32, 0}, /* as many groups as rows */
      {"gemma-hidden", 1, 128, 5376, 32, 0},
      {"gemma-down", 4, 40, 21504, 32, 0},
      {"gemma-attended", 1, 40, 8192, 32, 0},
      {"k-4095-rounded-up", 3, 33, 4096, 128, 0},
      {"3d-batched-input", 64, 32, 512, 32, 0},
      {"prefill-m64", 64, 24, 256, 64, 0},
  };
  for (size_t i = 0; i < COUNT_OF(rows); ++i) {
    struct matvec_case item = start(op, rows[i].group, rows[i].n, rows[i].k, rows[i].m);
    item.layout = i % 2 ? LAYOUT_GN : LAYOUT_NG;
    add(list, &item, rows[i].quick, rows[i].name);
    set_zero(&item, 3);
    add(list, &item, 0, rows[i].name);
  }
}

static void add_random(struct case_list *list, weir_op op, uint64_t seed) {
  struct rng rng;
  rng_seed(&rng, rng_seed_of(seed, op == WEIR_OP_INT4_MATVEC ? "int4 combinations" : "int8 combinations"));
  for (uint32_t i = 0; i < 160; ++i) {
    size_t g = rng_below(&rng, COUNT_OF(groups));
    uint32_t kinds = 0;
    while (kinds < COUNT_OF(groups[g].k) && groups[g].k[kinds]) {
      ++kinds;
    }
    struct matvec_case item =
        start(op, groups[g].group, odd_n[rng_below(&rng, COUNT_OF(odd_n))],
              fit_k(op, g, groups[g].k[rng_below(&rng, kinds)]), many_m[rng_below(&rng, COUNT_OF(many_m))]);
    item.desc.m_max += rng_below(&rng, 3);
    item.desc.scale_type = floats[rng_below(&rng, 3)];
    item.desc.x_type = floats[rng_below(&rng, 3)];
    item.desc.y_type = floats[rng_below(&rng, 3)];
    item.desc.bias_type = rng_below(&rng, 2) ? WEIR_NONE : floats[rng_below(&rng, 3)];
    set_zero(&item, rng_below(&rng, COUNT_OF(zeros)));
    item.layout = (enum matvec_layout)rng_below(&rng, LAYOUT_COUNT);
    item.unaligned = (int)rng_below(&rng, 2);
    item.values = rng_below(&rng, 3) ? VALUES_ORDINARY : (enum matvec_values)rng_below(&rng, VALUES_COUNT);
    add(list, &item, i < 20, NULL);
  }
}

void matvec_cases(struct case_list *list, weir_op op, uint64_t seed) {
  add_reference(list, op);
  add_shapes(list, op);
  add_types(list, op);
  add_values(list, op);
  add_exact(list, op);
  add_random(list, op, seed);
}

/* SPDX-License-Identifier: MIT */

/* The SDPA cases: one dimension at a time, the edges of tiles, then random
 * combinations. The reference system's own are in conform_sdpa_reference.c. */

#include "conform_case.h"

static const weir_type floats[] = {WEIR_BF16, WEIR_F16, WEIR_F32};
static const uint32_t edges[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 255, 257, 300, 513, 1000};
static const uint32_t queries[] = {1, 2, 3, 4, 5, 6, 7, 8, 17, 64, 130};
static const uint32_t windows[] = {1, 7, 64, 2000, UINT32_MAX};

static const char *const pattern_names[PATTERN_COUNT] = {
    [PATTERN_ALL] = "all",
    [PATTERN_HALF] = "half",
    [PATTERN_FIRST] = "first",
    [PATTERN_RANDOM] = "random",
    [PATTERN_EMPTY_ROWS] = "empty-rows",
    [PATTERN_EMPTY_TILES] = "empty-tiles",
    [PATTERN_LAST] = "last",
    [PATTERN_NOTHING] = "nothing",
    [PATTERN_RING] = "ring",
};
static const char *const values_names[SDPA_VALUES_COUNT] = {
    [SDPA_ORDINARY] = "ordinary",       [SDPA_LARGE] = "scores-1000",   [SDPA_ALL_LOW] = "scores-low",
    [SDPA_ABOVE] = "scores-150",        [SDPA_BELOW] = "scores-minus-150",
    [SDPA_IDENTICAL] = "identical",     [SDPA_ONE_SLOT] = "one-slot",   [SDPA_ZERO_SCALE] = "zero-scale",
    [SDPA_HUGE_V] = "huge-v",           [SDPA_NAN_QUERY] = "nan-query", [SDPA_NAN_PARTLY] = "nan-partly",
    [SDPA_NAN_KEY] = "nan-key",
};
static const char *const layout_names[SDPA_LAYOUT_COUNT] = {"bhld", "blhd", "padded", "odd"};
static const char *const mask_names[] = {"none", "bool", "f32", "f16", "bf16"};

struct sdpa_case sdpa_case_start(uint32_t head_dim, uint32_t q_heads, uint32_t kv_heads, uint32_t q_len,
                                 uint32_t kv_len) {
  struct sdpa_case item = {
      .desc =
          {
              .struct_size = sizeof(weir_sdpa_desc),
              .op = WEIR_OP_SDPA,
              .batch = 1,
              .q_heads = q_heads,
              .kv_heads = kv_heads,
              .head_dim = head_dim,
              .q_len_max = q_len,
              .kv_capacity = kv_len ? kv_len : 1,
              .q_type = WEIR_BF16,
              .kv_type = WEIR_BF16,
              .o_type = WEIR_BF16,
              .scale = 1 / sqrtf((float)head_dim),
          },
      .q_len = q_len,
      .mask_dims = MASK_PER_BATCH | MASK_PER_QUERY,
  };
  for (int b = 0; b < CASE_BATCH_MAX; ++b) {
    item.kv_len[b] = (int32_t)kv_len;
  }
  return item;
}

static void name_lengths(char *name, const struct sdpa_case *item) {
  const weir_sdpa_desc *desc = &item->desc;
  if (desc->flags & WEIR_SDPA_KV_LEN) {
    case_append(name, "-kv");
    for (uint32_t b = 0; b < desc->batch; ++b) {
      case_append(name, "%s%d", b ? "," : "", item->kv_len[b]);
    }
    case_append(name, "of%u-device", desc->kv_capacity);
  } else if (desc->kv_capacity == (uint32_t)item->kv_len[0]) {
    case_append(name, "-kv%d", item->kv_len[0]);
  } else {
    case_append(name, "-kv%dof%u", item->kv_len[0], desc->kv_capacity);
  }
}

void sdpa_case_add(struct case_list *list, const struct sdpa_case *item, int quick, const char *note) {
  struct conform_case named = {.op = WEIR_OP_SDPA, .quick = quick, .u.sdpa = *item};
  weir_sdpa_desc *desc = &named.u.sdpa.desc;
  char *name = named.name;
  if (item->values == SDPA_LARGE) {
    desc->scale = 300 / sqrtf((float)desc->head_dim);
  } else if (item->values == SDPA_ALL_LOW) {
    desc->scale = 1000 / (float)desc->head_dim;
  } else if (item->values == SDPA_ABOVE || item->values == SDPA_BELOW) {
    desc->scale = 1;
  } else if (item->values == SDPA_ZERO_SCALE) {
    desc->scale = 0;
  }
  case_append(name, "sdpa/d%u/h%ux%u-q%u", desc->head_dim, desc->q_heads, desc->kv_heads, item->q_len);
  if (desc->q_len_max != item->q_len) {
    case_append(name, "of%u", desc->q_len_max);
  }
  name_lengths(name, item);
  if (desc->batch > 1) {
    case_append(name, "-b%u", desc->batch);
  }
  case_append(name, "/%s-%s-%s", number_name(desc->q_type), number_name(desc->kv_type), number_name(desc->o_type));
  if (desc->flags & WEIR_SDPA_CAUSAL) {
    case_append(name, "/causal");
  }
  if (desc->window) {
    case_append(name, "/window%u", desc->window);
  }
  if (desc->softcap > 0) {
    case_append(name, "/softcap%g", (double)desc->softcap);
  }
  if (desc->mask != WEIR_MASK_NONE) {
    case_append(name, "/mask-%s-%s", mask_names[desc->mask], pattern_names[item->pattern]);
    if (item->pattern_value) {
      case_append(name, "%u", item->pattern_value);
    }
    case_append(name, "-%s%s%s", item->mask_dims & MASK_PER_BATCH ? "b" : "",
                item->mask_dims & MASK_PER_HEAD ? "h" : "", item->mask_dims & MASK_PER_QUERY ? "q" : "");
  }
  if (item->q_layout || item->kv_layout || item->o_layout) {
    case_append(name, "/%s-%s-%s", layout_names[item->q_layout], layout_names[item->kv_layout],
                layout_names[item->o_layout]);
  }
  case_append(name, "/%s", values_names[item->values]);
  if (note) {
    case_append(name, "/%s", note);
  }
  case_add(list, &named);
}

static void add_shapes(struct case_list *list) {
  for (uint32_t d = 8; d <= 512; d += 8) {
    struct sdpa_case item = sdpa_case_start(d, 4, 2, 1, 37);
    sdpa_case_add(list, &item, d == 64 || d == 128 || d == 256 || d == 512 || d % 72 == 0, NULL);
    item = sdpa_case_start(d, 2, 1, 5, 70);
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, 0, NULL);
  }
  for (uint32_t ratio = 1; ratio <= 16; ++ratio) {
    struct sdpa_case item = sdpa_case_start(64, 2 * ratio, 2, 1, 65);
    sdpa_case_add(list, &item, ratio == 1 || ratio == 5 || ratio == 10 || ratio == 16, NULL);
    item = sdpa_case_start(128, ratio, 1, 3, 130);
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, ratio == 8, NULL);
  }
  for (size_t i = 0; i < COUNT_OF(queries); ++i) {
    struct sdpa_case item = sdpa_case_start(64, 4, 2, queries[i], 200);
    sdpa_case_add(list, &item, queries[i] == 4, NULL);
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, queries[i] <= 2 || queries[i] == 17, NULL);
    item.desc.q_len_max += 3;
    sdpa_case_add(list, &item, 0, NULL);
    item = sdpa_case_start(128, 2, 1, queries[i], 5); /* q_len below, at and above kv_len */
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, queries[i] >= 4 && queries[i] <= 8, NULL);
  }
  for (size_t i = 0; i < COUNT_OF(edges); ++i) {
    struct sdpa_case item = sdpa_case_start(128, 4, 1, 1, edges[i]);
    sdpa_case_add(list, &item, 1, NULL);
    item.desc.kv_capacity += 29;
    sdpa_case_add(list, &item, i % 3 == 0, NULL);
    item = sdpa_case_start(256, 2, 2, 4, edges[i]);
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, i % 4 == 0, NULL);
    item = sdpa_case_start(64, 8, 2, 2, edges[i]);
    item.desc.batch = 2;
    sdpa_case_add(list, &item, i % 4 == 1, NULL);
  }
}

static void add_masks(struct case_list *list) {
  for (size_t i = 0; i < COUNT_OF(windows); ++i) {
    struct sdpa_case item = sdpa_case_start(128, 4, 2, 1, 300);
    item.desc.window = windows[i];
    sdpa_case_add(list, &item, 1, NULL);
    item = sdpa_case_start(64, 4, 2, 17, 100);
    item.desc.window = windows[i];
    sdpa_case_add(list, &item, 0, NULL);
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, i == 1, NULL);
    item = sdpa_case_start(64, 2, 1, 130, 300);
    item.desc.window = windows[i];
    item.desc.flags = WEIR_SDPA_CAUSAL;
    sdpa_case_add(list, &item, 0, NULL);
  }
  for (weir_mask mask = WEIR_MASK_BOOL; mask <= WEIR_MASK_BF16; ++mask) {
    for (int pattern = 0; pattern < PATTERN_RING; ++pattern) {
      struct sdpa_case item = sdpa_case_start(64, 4, 2, 3, 150);
      item.desc.mask = mask;
      item.pattern = (enum sdpa_pattern)pattern;
      item.pattern_value = pattern == PATTERN_FIRST ? 65 : 0;
      sdpa_case_add(list, &item, mask == WEIR_MASK_BOOL, NULL);
      item = sdpa_case_start(128, 8, 1, 1, 257);
      item.desc.mask = mask;
      item.pattern = (enum sdpa_pattern)pattern;
      item.pattern_value = pattern == PATTERN_FIRST ? 65 : 0;
      sdpa_case_add(list, &item, mask == WEIR_MASK_F32, NULL);
    }
    for (uint32_t dims = 0; dims < 8; ++dims) {
      struct sdpa_case item = sdpa_case_start(64, 4, 2, 5, 70);
      item.desc.mask = mask;
      item.desc.batch = 3;
      item.desc.flags = dims & 1 ? WEIR_SDPA_CAUSAL : 0;
      item.mask_dims = dims;
      item.pattern = PATTERN_RANDOM;
      sdpa_case_add(list, &item, dims == 2 || dims == 7, NULL);
    }
  }
  static const float caps[] = {1, 30, 50};
  for (size_t i = 0; i < COUNT_OF(caps); ++i) {
    for (size_t t = 0; t < COUNT_OF(floats); ++t) {
      struct sdpa_case item = sdpa_case_start(128, 4, 2, 2, 129);
      item.desc.softcap = caps[i];
      item.desc.q_type = item.desc.kv_type = item.desc.o_type = floats[t];
      item.values = t == 1 ? SDPA_LARGE : SDPA_ORDINARY;
      sdpa_case_add(list, &item, i == t, NULL);
    }
  }
}

static void add_lengths(struct case_list *list) {
  static const struct {
    int32_t kv_len[CASE_BATCH_MAX];
    uint32_t batch, capacity;
  } rows[] = {
      {{300}, 1, 300},       {{0}, 1, 64},          {{1}, 1, 300},
      {{0, 1, 300}, 3, 300}, {{129, 17}, 2, 256},   {{-5, 40}, 2, 64},
      {{INT32_MIN}, 1, 64},  {{1000, 3, 65}, 3, 65}, {{INT32_MAX}, 1, 33},
      {{64, 65, 63}, 3, 1000}, {{257, 0}, 2, 600},
  };
  for (size_t i = 0; i < COUNT_OF(rows); ++i) {
    for (uint32_t q_len = 1; q_len <= 4; q_len += 3) {
      for (uint32_t causal = 0; causal < q_len && causal < 2; ++causal) {
        struct sdpa_case item = sdpa_case_start(causal ? 64 : 128, 4, 2, q_len, rows[i].capacity);
        memcpy(item.kv_len, rows[i].kv_len, sizeof item.kv_len);
        item.desc.batch = rows[i].batch;
        item.desc.flags = WEIR_SDPA_KV_LEN | (causal ? WEIR_SDPA_CAUSAL : 0);
        sdpa_case_add(list, &item, q_len == 1, NULL);
        item.desc.window = 20;
        sdpa_case_add(list, &item, 0, NULL);
        item.desc.mask = WEIR_MASK_BOOL;
        item.pattern = PATTERN_RANDOM;
        sdpa_case_add(list, &item, i == 3, NULL);
      }
    }
  }
  /* So many KV heads that a few multiprocessors of a large GPU are left over. */
  for (int32_t kv_len = 40; kv_len <= 2200; kv_len += 2160) {
    struct sdpa_case item = sdpa_case_start(64, 65, 65, 1, 2200);
    item.desc.flags = WEIR_SDPA_KV_LEN;
    item.kv_len[0] = kv_len;
    sdpa_case_add(list, &item, 0, NULL);
  }
  for (uint32_t causal = 0; causal < 2; ++causal) {
    struct sdpa_case item = sdpa_case_start(64, 2, 1, 3, 0);
    item.desc.kv_capacity = 40;
    item.desc.flags = causal ? WEIR_SDPA_CAUSAL : 0;
    sdpa_case_add(list, &item, 1, NULL);
  }
}

static void add_layouts_and_types(struct case_list *list) {
  for (int q = 0; q < SDPA_LAYOUT_COUNT; ++q) {
    for (int kv = 0; kv < SDPA_LAYOUT_COUNT; ++kv) {
      struct sdpa_case item = sdpa_case_start(64, 4, 2, q == kv ? 1 : 4, 67);
      item.desc.batch = 1 + (uint32_t)(q + kv) % 2;
      item.q_layout = (enum sdpa_layout)q;
      item.kv_layout = (enum sdpa_layout)kv;
      item.o_layout = (enum sdpa_layout)((q + kv) % SDPA_LAYOUT_COUNT);
      sdpa_case_add(list, &item, q == kv, NULL);
      item.desc.mask = WEIR_MASK_BF16;
      item.pattern = PATTERN_RANDOM;
      item.mask_dims = 7;
      item.desc.kv_capacity += 10;
      sdpa_case_add(list, &item, 0, NULL);
    }
  }
  for (size_t q = 0; q < COUNT_OF(floats); ++q) {
    for (size_t kv = 0; kv < COUNT_OF(floats); ++kv) {
      for (size_t o = 0; o < COUNT_OF(floats); ++o) {
        struct sdpa_case item = sdpa_case_start(64 + 8 * (uint32_t)o, 4, 2, 1 + 3 * (uint32_t)(o == 1), 90);
        item.desc.q_type = floats[q];
        item.desc.kv_type = floats[kv];
        item.desc.o_type = floats[o];
        sdpa_case_add(list, &item, q == kv && kv == o, NULL);
      }
    }
  }
}

static void add_values(struct case_list *list) {
  for (int values = SDPA_LARGE; values < SDPA_VALUES_COUNT; ++values) {
    for (size_t t = 0; t < COUNT_OF(floats); ++t) {
      for (uint32_t q_len = 1; q_len <= 10; q_len += 9) {
        struct sdpa_case item = sdpa_case_start(128, 4, 2, q_len, 200);
        item.desc.q_type = item.desc.kv_type = item.desc.o_type = floats[t];
        item.desc.flags = q_len > 1 ? WEIR_SDPA_CAUSAL : 0;
        item.values = (enum sdpa_values)values;
        sdpa_case_add(list, &item, t == 0, NULL);
        item = sdpa_case_start(256, 2, 1, q_len, 513);
        item.desc.q_type = item.desc.kv_type = item.desc.o_type = floats[t];
        item.desc.flags = WEIR_SDPA_CAUSAL;
        item.values = (enum sdpa_values)values;
        sdpa_case_add(list, &item, 0, NULL);
      }
    }
  }
}

static void prefill_case(struct case_list *list, struct sdpa_case item, uint32_t flags, int quick) {
  item.desc.flags |= flags;
  sdpa_case_add(list, &item, quick, "prefill");
}

/* More rows of queries for each KV head than kernels for decode have in a tile. */
static void add_prefill(struct case_list *list) {
  static const uint32_t dims[] = {40, 64, 80, 112, 128, 192, 256, 512};
  static const uint32_t shapes[][4] = {/* query heads, KV heads, queries, slots */
                                       {1, 1, 65, 64},  {2, 2, 128, 128}, {2, 1, 129, 257}, {3, 1, 50, 300},
                                       {10, 2, 27, 90}, {16, 1, 9, 200},  {4, 2, 100, 30},  {2, 1, 64, 1}};
  for (size_t t = 0; t < 2; ++t) {
    for (size_t i = 0; i < COUNT_OF(dims); ++i) {
      struct sdpa_case item = sdpa_case_start(dims[i], 4, 2, 70, 150);
      item.desc.q_type = item.desc.kv_type = item.desc.o_type = floats[t];
      prefill_case(list, item, WEIR_SDPA_CAUSAL, dims[i] % 64 == 0 && dims[i] != 192);
      prefill_case(list, item, 0, 0);
    }
    for (int values = SDPA_LARGE; values < SDPA_VALUES_COUNT; ++values) {
      struct sdpa_case item = sdpa_case_start(t ? 64 : 128, 2, 1, 90, 100);
      item.desc.q_type = item.desc.kv_type = item.desc.o_type = floats[t];
      item.values = (enum sdpa_values)values;
      prefill_case(list, item, WEIR_SDPA_CAUSAL, t == 0);
    }
  }
  for (size_t i = 0; i < COUNT_OF(shapes); ++i) {
    struct sdpa_case item = sdpa_case_start(64, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
    prefill_case(list, item, WEIR_SDPA_CAUSAL, i == 6);
    prefill_case(list, item, 0, 0);
    item.desc.head_dim = 128;
    item.desc.o_type = floats[i % COUNT_OF(floats)];
    item.q_layout = (enum sdpa_layout)(i % SDPA_LAYOUT_COUNT);
    item.kv_layout = (enum sdpa_layout)((i + 1) % SDPA_LAYOUT_COUNT);
    item.o_layout = (enum sdpa_layout)(i / 2 % SDPA_LAYOUT_COUNT);
    prefill_case(list, item, WEIR_SDPA_CAUSAL, i == 2);
  }
  for (size_t i = 0; i < COUNT_OF(windows); ++i) {
    struct sdpa_case item = sdpa_case_start(64, 2, 1, 100, 260);
    item.desc.window = windows[i];
    prefill_case(list, item, WEIR_SDPA_CAUSAL, windows[i] == 64);
    prefill_case(list, item, 0, 0);
  }
  static const int32_t lengths[][2] = {{150, 20}, {0, 65}, {-5, 1000}, {128, 129}};
  for (size_t i = 0; i < COUNT_OF(lengths); ++i) {
    struct sdpa_case item = sdpa_case_start(128, 4, 2, 80, 200);
    item.desc.batch = 2;
    item.kv_len[0] = lengths[i][0];
    item.kv_len[1] = lengths[i][1];
    prefill_case(list, item, WEIR_SDPA_KV_LEN | WEIR_SDPA_CAUSAL, i == 0);
    prefill_case(list, item, WEIR_SDPA_KV_LEN, 0);
    item.desc.window = 40;
    prefill_case(list, item, WEIR_SDPA_KV_LEN | WEIR_SDPA_CAUSAL, 0);
  }
  struct sdpa_case item = sdpa_case_start(64, 4, 2, 70, 150);
  item.desc.mask = WEIR_MASK_BOOL;
  item.pattern = PATTERN_RANDOM;
  prefill_case(list, item, WEIR_SDPA_CAUSAL, 0);
  item.desc.mask = WEIR_MASK_NONE;
  item.desc.softcap = 30;
  prefill_case(list, item, WEIR_SDPA_CAUSAL, 0);
}

static void add_random(struct case_list *list, uint64_t seed) {
  static const uint32_t heads[][2] = {{1, 1}, {4, 4}, {4, 2}, {6, 2}, {8, 1}, {10, 2}, {5, 1}, {16, 1}};
  struct rng rng;
  rng_seed(&rng, rng_seed_of(seed, "sdpa combinations"));
  for (uint32_t n = 0; n < 200; ++n) {
    const uint32_t *h = heads[rng_below(&rng, COUNT_OF(heads))];
    uint32_t d = 8 * (1 + rng_below(&rng, rng_below(&rng, 4) ? 16 : 64));
    struct sdpa_case item = sdpa_case_start(d, h[0], h[1], queries[rng_below(&rng, COUNT_OF(queries) - 2)],
                                            edges[rng_below(&rng, COUNT_OF(edges) - 2)]);
    weir_sdpa_desc *desc = &item.desc;
    desc->batch = 1 + rng_below(&rng, 3);
    desc->q_len_max += rng_below(&rng, 2) * rng_below(&rng, 9);
    desc->kv_capacity += rng_below(&rng, 2) * rng_below(&rng, 100);
    desc->kv_len_hint = rng_below(&rng, 2) * rng_below(&rng, desc->kv_capacity + 1);
    desc->q_type = floats[rng_below(&rng, 3)];
    desc->kv_type = rng_below(&rng, 2) ? desc->q_type : floats[rng_below(&rng, 3)];
    desc->o_type = rng_below(&rng, 2) ? desc->q_type : floats[rng_below(&rng, 3)];
    desc->flags = rng_below(&rng, 2) ? WEIR_SDPA_CAUSAL : 0;
    desc->window = rng_below(&rng, 4) ? 0 : windows[rng_below(&rng, COUNT_OF(windows))];
    desc->softcap = rng_below(&rng, 4) ? 0.0f : 30.0f;
    desc->mask = rng_below(&rng, 2) ? WEIR_MASK_NONE : rng_below(&rng, WEIR_MASK_BF16 + 1);
    item.pattern = (enum sdpa_pattern)rng_below(&rng, PATTERN_RING);
    item.pattern_value = item.pattern == PATTERN_FIRST ? 1 + rng_below(&rng, 100) : 0;
    item.mask_dims = rng_below(&rng, 8);
    item.q_layout = (enum sdpa_layout)rng_below(&rng, SDPA_LAYOUT_COUNT);
    item.kv_layout = (enum sdpa_layout)rng_below(&rng, SDPA_LAYOUT_COUNT);
    item.o_layout = (enum sdpa_layout)rng_below(&rng, SDPA_LAYOUT_COUNT);
    item.values = rng_below(&rng, 3) ? SDPA_ORDINARY : (enum sdpa_values)rng_below(&rng, SDPA_NAN_QUERY);
    if (rng_below(&rng, 3) == 0) {
      desc->flags |= WEIR_SDPA_KV_LEN;
      for (uint32_t b = 0; b < desc->batch; ++b) {
        item.kv_len[b] = (int32_t)rng_below(&rng, desc->kv_capacity + 20) - 5;
      }
    }
    sdpa_case_add(list, &item, n < 30, NULL);
  }
}

/* More than 32 rows a KV head of more than 256 dimensions, so that two blocks may serve a tile
 * of them together, one tile after the other. */
static void add_pairs(struct case_list *list) {
  static const uint32_t dims[] = {264, 376, 504, 512};
  static const struct {
    uint32_t q_heads, kv_heads, q_len, slots, batch;
  } shapes[] = {{1, 1, 33, 1, 1},    {2, 1, 65, 64, 2},  {3, 3, 129, 65, 3}, {5, 1, 60, 128, 2},
                {4, 2, 100, 30, 2}, {8, 1, 77, 193, 1}, {2, 2, 130, 300, 3}};
  static const int32_t lengths[][3] = {{0, 1, 5}, {300, 0, 64}, {-5, 63, 65}, {128, 129, 1000}};
  static const uint32_t windows[] = {0, 1, 40, 64, 100};
  enum { MODES = 4 /* causal or not, kv_len on the device or not */ };
  for (uint32_t i = 0; i < COUNT_OF(dims) * COUNT_OF(shapes) * MODES; ++i) {
    uint32_t mode = i % MODES, shape = i / MODES % COUNT_OF(shapes);
    struct sdpa_case item = sdpa_case_start(dims[i / MODES / COUNT_OF(shapes)], shapes[shape].q_heads,
                                            shapes[shape].kv_heads, shapes[shape].q_len, shapes[shape].slots);
    item.desc.batch = shapes[shape].batch;
    item.desc.q_type = item.desc.kv_type = floats[i % 2];
    item.desc.o_type = floats[i / 2 % 3];
    item.desc.window = windows[i * 7 / 3 % COUNT_OF(windows)];
    item.q_layout = (enum sdpa_layout)(i % SDPA_LAYOUT_COUNT);
    item.kv_layout = (enum sdpa_layout)(i / 3 % SDPA_LAYOUT_COUNT);
    item.o_layout = (enum sdpa_layout)(i / 5 % SDPA_LAYOUT_COUNT);
    if (i % 3 == 1) {
      item.values = (enum sdpa_values)(i / 3 % SDPA_VALUES_COUNT);
    }
    item.desc.flags |= mode & 1 ? WEIR_SDPA_CAUSAL : 0;
    if (mode & 2) {
      item.desc.flags |= WEIR_SDPA_KV_LEN;
      for (uint32_t b = 0; b < item.desc.batch; ++b) {
        item.kv_len[b] = lengths[i % COUNT_OF(lengths)][b];
      }
    }
    sdpa_case_add(list, &item, i % 48 == 6, "pairs");
  }
}

void sdpa_cases(struct case_list *list, uint64_t seed) {
  sdpa_reference_cases(list);
  add_shapes(list);
  add_masks(list);
  add_lengths(list);
  add_layouts_and_types(list);
  add_values(list);
  add_prefill(list);
  add_pairs(list);
  add_random(list, seed);
}

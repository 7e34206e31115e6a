/* SPDX-License-Identifier: MIT */

/* The items of an attention call, one after the other, and the merging of what
 * those of split rows left. See sdpa.c. */

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "sdpa.h"

/* Rows of K or V between use and fetch where one pass over a tile does. Strides are
 * often powers of two, so that few rows fit into the L1 cache at a time; 8 to 16
 * measured best. Several passes fetch the whole of what comes next. */
enum { FETCH_AHEAD = 16 };

/* What follows the head_dim sums in the partial result of one row and split. */
enum { PARTIAL_MAX = 0, PARTIAL_TOTAL = 1, PARTIAL_SEEN = 2, PARTIAL_EXTRA = 8 };

/* A tile of rows with its KV head, and a worker's scratch. */
struct item {
  const struct sdpa_call *call;
  struct sdpa_rows rows;
  float *bias; /* what rows.bias points into */
  bool *seen;  /* the row attended a slot */
  uint32_t batch, kv_head;
  uint64_t row0; /* of rows.count rows among the KV head's */
  int64_t kv_len;
};

/* ---- Scratch ------------------------------------------------------------ */

struct scratch {
  char *base; /* null: only `used` matters */
  uint64_t used;
};

static void *take(struct scratch *scratch, uint64_t bytes) {
  void *taken = scratch->base ? scratch->base + scratch->used : NULL;
  scratch->used += sdpa_ceil_div(bytes, SDPA_ALIGN) * SDPA_ALIGN;
  return taken;
}

static void item_carve(struct item *item, const weir_plugin_plan *plan, uint64_t count, struct scratch *scratch) {
  struct sdpa_rows *rows = &item->rows;
  rows->q = take(scratch, count * plan->desc.head_dim * sizeof *rows->q);
  rows->sum = take(scratch, count * plan->desc.head_dim * sizeof *rows->sum);
  rows->part = take(scratch, count * plan->desc.head_dim * sizeof *rows->part);
  rows->weight = take(scratch, count * plan->pitch * sizeof *rows->weight);
  rows->max = take(scratch, count * sizeof *rows->max);
  rows->rescale = take(scratch, count * sizeof *rows->rescale);
  rows->total = take(scratch, count * sizeof *rows->total);
  rows->keep = take(scratch, count * sizeof *rows->keep);
  rows->bias = take(scratch, count * sizeof *rows->bias);
  item->bias = take(scratch, plan->desc.mask > WEIR_MASK_BOOL ? count * plan->pitch * sizeof *item->bias : 0);
  item->seen = take(scratch, count * sizeof *item->seen);
}

uint64_t cpu_sdpa_scratch_size(const weir_plugin_plan *plan, uint32_t count) {
  struct item item;
  struct scratch scratch = {0};
  item_carve(&item, plan, count, &scratch);
  return scratch.used;
}

uint64_t cpu_sdpa_partial_size(const weir_plugin_plan *plan) {
  return (uint64_t)plan->desc.head_dim + PARTIAL_EXTRA;
}

/* ---- One item ----------------------------------------------------------- */

static int64_t kv_len_of(const struct sdpa_call *call, uint32_t batch) {
  const weir_sdpa_desc *desc = &call->plan->desc;
  if (!(desc->flags & WEIR_SDPA_KV_LEN)) {
    return call->args->kv_len;
  }
  int64_t given = call->args->kv_len_device[batch];
  return given < 0 ? 0 : given > desc->kv_capacity ? desc->kv_capacity : given;
}

static uint32_t query_of(const struct item *item, uint32_t r) {
  return (uint32_t)((item->row0 + r) / item->call->plan->group);
}

static uint32_t head_of(const struct item *item, uint32_t r) {
  uint32_t group = item->call->plan->group;
  return item->kv_head * group + (uint32_t)((item->row0 + r) % group);
}

/* Element offset of row r in q, o or the mask. A stride of a dimension of size 1
 * may be anything, but its index is 0. */
static int64_t row_offset(const struct item *item, const int64_t stride[3], uint32_t r) {
  return item->batch * stride[0] + head_of(item, r) * stride[1] + query_of(item, r) * stride[2];
}

/* The slots [begin, end) that row r may attend, before the mask. */
static void reach_of(const struct item *item, uint32_t r, int64_t *out_begin, int64_t *out_end) {
  const weir_sdpa_desc *desc = &item->call->plan->desc;
  int64_t position = item->kv_len - item->call->args->q_len + query_of(item, r);
  int64_t begin = desc->window > 0 ? position - desc->window + 1 : 0;
  int64_t end = desc->flags & WEIR_SDPA_CAUSAL && position + 1 < item->kv_len ? position + 1 : item->kv_len;
  *out_begin = begin > 0 ? begin : 0;
  *out_end = end > *out_begin ? end : *out_begin;
}

static uint64_t bits_below(int64_t n) {
  return n <= 0 ? 0 : n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* Fills keep and bias for slots [t0, t0 + n); false when no row attends any. */
static bool attended(struct item *item, int64_t t0, uint32_t n) {
  const weir_plugin_plan *plan = item->call->plan;
  struct sdpa_rows *rows = &item->rows;
  const char *entries_before = NULL;
  const float *bias = NULL;
  uint64_t masked = ~(uint64_t)0;
  uint64_t any = 0;
  for (uint32_t r = 0; r < rows->count; r++) {
    int64_t begin, end;
    reach_of(item, r, &begin, &end);
    uint64_t keep = bits_below(n) & bits_below(end - t0) & ~bits_below(begin - t0);
    if (plan->desc.mask != WEIR_MASK_NONE && keep) {
      const char *entries = (const char *)item->call->args->mask +
                            (row_offset(item, item->call->args->mask_stride, r) + t0) * plan->mask_bytes;
      if (entries != entries_before) { /* heads may share one */
        float *own = item->bias + (size_t)r * plan->pitch;
        masked = plan->kernels->mask(plan->desc.mask, entries, n, own);
        bias = plan->desc.mask == WEIR_MASK_BOOL ? NULL : own;
        entries_before = entries;
      }
      keep &= masked;
    }
    rows->keep[r] = keep;
    rows->bias[r] = bias;
    item->seen[r] |= keep != 0;
    any |= keep;
  }
  return any != 0;
}

/* Pointers to the K or V rows of a tile's slots from t0 on; past the end, to the
 * last one. */
static void slot_rows(const struct item *item, const void *base, const int64_t stride[3], int64_t t0, int64_t end,
                      const void **out_rows) {
  const weir_plugin_plan *plan = item->call->plan;
  int64_t head = item->batch * stride[0] + item->kv_head * stride[1];
  for (uint32_t j = 0; j < plan->pitch; j++) {
    int64_t slot = t0 + j < end ? t0 + j : end - 1;
    out_rows[j] = (const char *)base + (head + slot * stride[2]) * plan->kv_bytes;
  }
}

static void attend_stretch(struct item *item, int64_t begin, int64_t end) {
  const weir_plugin_plan *plan = item->call->plan;
  const weir_sdpa_args *args = item->call->args;
  const weir_type type = plan->desc.kv_type;
  const uint32_t pitch = plan->pitch;
  const uint32_t ahead = item->rows.count <= 2 ? FETCH_AHEAD : pitch;
  const void *rows[3 * SDPA_TILE_MAX]; /* in the order of their use: K and V of a tile, K of the next */
  const void **k_rows = rows, **v_rows = rows + pitch, **next_rows = rows + 2 * pitch;
  slot_rows(item, args->k, args->k_stride, begin, end, k_rows);
  for (int64_t t0 = begin; t0 < end; t0 += pitch) {
    uint32_t n = (uint32_t)sdpa_min(pitch, (uint64_t)(end - t0));
    slot_rows(item, args->k, args->k_stride, t0 + pitch, end, next_rows);
    if (attended(item, t0, n)) {
      slot_rows(item, args->v, args->v_stride, t0, end, v_rows);
      plan->kernels->dots[type](&item->rows, k_rows, k_rows + ahead, n);
      plan->kernels->softmax(&item->rows, n, plan->desc.scale, plan->desc.softcap);
      plan->kernels->values[type](&item->rows, v_rows, v_rows + ahead, n);
    }
    memcpy(k_rows, next_rows, pitch * sizeof *k_rows);
  }
}

static void item_start(struct item *item) {
  const weir_plugin_plan *plan = item->call->plan;
  const weir_sdpa_args *args = item->call->args;
  const uint32_t head_dim = plan->desc.head_dim;
  struct sdpa_rows *rows = &item->rows;
  for (uint32_t r = 0; r < rows->count; r++) {
    const char *q = (const char *)args->q + row_offset(item, args->q_stride, r) * plan->q_bytes;
    plan->kernels->load(plan->desc.q_type, plan->desc.kv_type, q, head_dim, rows->q + (size_t)r * head_dim);
    rows->max[r] = -INFINITY;
    rows->total[r] = 0;
    item->seen[r] = false;
  }
  memset(rows->sum, 0, sizeof(float) * rows->count * head_dim);
  memset(rows->part, 0, sizeof(float) * rows->count * head_dim);
}

static float *partial_of(const struct sdpa_call *call, uint64_t row, uint32_t split) {
  return call->partials + (row * call->cut.splits + split) * cpu_sdpa_partial_size(call->plan);
}

static uint64_t partial_row(const struct item *item, uint32_t r) {
  const struct sdpa_call *call = item->call;
  return ((uint64_t)item->batch * call->plan->desc.kv_heads + item->kv_head) * call->cut.group_rows + item->row0 + r;
}

/* A row that attended nothing has sum 0 and gives 0; one whose every score was
 * -Inf by its own numbers gives 0 / 0. */
static void row_finish(const weir_plugin_plan *plan, const float *sum, float total, bool seen, void *out) {
  plan->kernels->store(plan->desc.o_type, plan->desc.kv_type, sum, seen ? total : 1.0f, plan->desc.head_dim, out);
}

static void item_finish(const struct item *item, uint32_t split) {
  const struct sdpa_call *call = item->call;
  const weir_plugin_plan *plan = call->plan;
  const struct sdpa_rows *rows = &item->rows;
  const uint32_t head_dim = plan->desc.head_dim;
  for (uint32_t r = 0; r < rows->count; r++) {
    const float *sum = rows->sum + (size_t)r * head_dim;
    if (call->cut.splits == 1) {
      char *o = (char *)call->args->o + row_offset(item, call->args->o_stride, r) * plan->o_bytes;
      row_finish(plan, sum, (float)rows->total[r], item->seen[r], o);
      continue;
    }
    float *partial = partial_of(call, partial_row(item, r), split);
    memcpy(partial, sum, head_dim * sizeof(float));
    partial[head_dim + PARTIAL_MAX] = rows->max[r];
    partial[head_dim + PARTIAL_TOTAL] = (float)rows->total[r];
    partial[head_dim + PARTIAL_SEEN] = item->seen[r];
  }
}

static void run_item(struct item *item, uint64_t index) {
  const struct sdpa_call *call = item->call;
  const weir_sdpa_desc *desc = &call->plan->desc;
  const struct sdpa_cut *cut = &call->cut;
  uint32_t split = (uint32_t)(index % cut->splits);
  uint64_t head = index / cut->splits % ((uint64_t)desc->batch * desc->kv_heads);
  uint64_t tile = cut->tiles - 1 - index / cut->splits / ((uint64_t)desc->batch * desc->kv_heads);
  item->batch = (uint32_t)(head / desc->kv_heads);
  item->kv_head = (uint32_t)(head % desc->kv_heads);
  item->kv_len = kv_len_of(call, item->batch);
  item->row0 = tile * cut->rows;
  item->rows.count = (uint32_t)sdpa_min(cut->rows, cut->group_rows - item->row0);
  item_start(item);

  int64_t begin, end, unused;
  reach_of(item, 0, &begin, &unused);
  reach_of(item, item->rows.count - 1, &unused, &end);
  if (begin < end) {
    uint64_t length = (uint64_t)(end - begin);
    uint64_t pieces = sdpa_min(cut->splits, sdpa_ceil_div(length, SDPA_SPLIT_MIN));
    int64_t piece = (int64_t)(sdpa_ceil_div(sdpa_ceil_div(length, pieces), 8) * 8);
    int64_t from = begin + split * piece;
    attend_stretch(item, from, from + piece < end ? from + piece : end);
  }
  item_finish(item, split);
}

void cpu_sdpa_work(void *arg, uint32_t index) {
  struct sdpa_call *call = arg;
  struct item item = {.call = call};
  item.rows.head_dim = call->plan->desc.head_dim;
  item.rows.pitch = call->plan->pitch;
  struct scratch scratch = {.base = call->scratch + index * call->cut.scratch};
  item_carve(&item, call->plan, call->cut.rows, &scratch);
  for (;;) {
    uint64_t next = atomic_fetch_add_explicit(&call->next, 1, memory_order_relaxed);
    if (next >= call->cut.items) {
      return;
    }
    run_item(&item, next);
  }
}

/* ---- Merging ------------------------------------------------------------ */

/* Leaves the sum of a row's partial results in its first one. */
static void merge_row(const struct sdpa_call *call, uint64_t row) {
  const weir_plugin_plan *plan = call->plan;
  const uint32_t head_dim = plan->desc.head_dim;
  float max = -INFINITY;
  for (uint32_t s = 0; s < call->cut.splits; s++) {
    float its = partial_of(call, row, s)[head_dim + PARTIAL_MAX];
    max = its > max ? its : max;
  }
  float base = max == -INFINITY ? 0 : max;
  float *sum = partial_of(call, row, 0);
  double total = 0;
  bool seen = false;
  for (uint32_t s = 0; s < call->cut.splits; s++) {
    const float *partial = partial_of(call, row, s);
    if (partial[head_dim + PARTIAL_SEEN] == 0) {
      continue; /* its sums are 0, and the first one's stay so */
    }
    float weight = cpu_sdpa_exp(partial[head_dim + PARTIAL_MAX] - base);
    total += (double)partial[head_dim + PARTIAL_TOTAL] * weight;
    for (uint32_t d = 0; d < head_dim; d++) {
      sum[d] = s == 0 ? partial[d] * weight : sum[d] + partial[d] * weight;
    }
    seen = true;
  }

  struct item item = {.call = call};
  item.row0 = row % call->cut.group_rows;
  uint64_t head = row / call->cut.group_rows;
  item.batch = (uint32_t)(head / plan->desc.kv_heads);
  item.kv_head = (uint32_t)(head % plan->desc.kv_heads);
  char *o = (char *)call->args->o + row_offset(&item, call->args->o_stride, 0) * plan->o_bytes;
  row_finish(plan, sum, (float)total, seen, o);
}

void cpu_sdpa_merge(void *arg, uint32_t index) {
  const struct sdpa_call *call = arg;
  const weir_sdpa_desc *desc = &call->plan->desc;
  const uint64_t rows = (uint64_t)desc->batch * desc->kv_heads * call->cut.group_rows;
  const uint64_t end = rows * (index + 1) / call->cut.workers;
  for (uint64_t row = rows * index / call->cut.workers; row < end; row++) {
    merge_row(call, row);
  }
}

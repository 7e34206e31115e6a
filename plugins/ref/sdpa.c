/* SPDX-License-Identifier: MIT */

/* Scaled dot-product attention: for each query, one pass over its slots for the
 * largest score, and one that forms every score again and adds up.
 *
 * What is not finite follows IEEE arithmetic over the attended slots alone. A NaN
 * in q, k, v or mask of an attended slot gives NaN. A score of +Inf gives NaN, as
 * exp(Inf - Inf) does: which of the slots counts, and how much, is no longer known.
 * A score of -Inf that comes from q and k, not from the mask, has weight 0; where
 * every score of a query is such, NaN. */

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "number.h"
#include "ref.h"

enum { HEAD_DIM_MAX = 512, TASKS_MAX = 65536 };

/* One query and the keys and values it meets. Indices are in elements. */
typedef struct sdpa_query {
  const weir_sdpa_desc *desc;
  const weir_sdpa_args *args;
  int64_t begin, end; /* slots not dropped by kv_len, causal or window */
  int64_t k, v, mask; /* of slot 0 */
  double q[HEAD_DIM_MAX];
} sdpa_query;

/* The stride of a dimension of size 1 is not read; its index is 0. */
static int64_t index_of(const int64_t stride[3], uint32_t i0, uint32_t i1, uint32_t i2) {
  return (i0 ? i0 * stride[0] : 0) + (i1 ? i1 * stride[1] : 0) + (i2 ? i2 * stride[2] : 0);
}

static int64_t slot_of(int64_t slot0, const int64_t stride[3], int64_t j) {
  return slot0 + (j ? j * stride[2] : 0);
}

static int64_t kv_len_of(const weir_sdpa_desc *desc, const weir_sdpa_args *args, uint32_t b) {
  if (!(desc->flags & WEIR_SDPA_KV_LEN)) {
    return args->kv_len;
  }
  int64_t given = args->kv_len_device[b];
  return given < 0 ? 0 : given > desc->kv_capacity ? desc->kv_capacity : given;
}

static void query_start(sdpa_query *self, const weir_sdpa_desc *desc, const weir_sdpa_args *args, uint32_t b,
                        uint32_t h, uint32_t i) {
  uint32_t kv_head = h / (desc->q_heads / desc->kv_heads);
  int64_t kv_len = kv_len_of(desc, args, b);
  int64_t position = kv_len - args->q_len + i;
  self->desc = desc;
  self->args = args;
  self->begin = 0;
  self->end = kv_len;
  if (desc->flags & WEIR_SDPA_CAUSAL && self->end > position + 1) {
    self->end = position + 1;
  }
  if (desc->window > 0 && self->begin < position - desc->window + 1) {
    self->begin = position - desc->window + 1;
  }
  self->k = index_of(args->k_stride, b, kv_head, 0);
  self->v = index_of(args->v_stride, b, kv_head, 0);
  self->mask = desc->mask == WEIR_MASK_NONE ? 0 : index_of(args->mask_stride, b, h, i);
  ref_load_row(desc->q_type, args->q, index_of(args->q_stride, b, h, i), desc->head_dim, self->q);
}

/* What the mask adds to the score of slot j; false when it drops the slot. */
static bool mask_at(const sdpa_query *self, int64_t j, double *out_added) {
  static const weir_type types[] = {
      [WEIR_MASK_F32] = WEIR_F32, [WEIR_MASK_F16] = WEIR_F16, [WEIR_MASK_BF16] = WEIR_BF16};
  const weir_mask mask = self->desc->mask;
  *out_added = 0;
  if (mask == WEIR_MASK_NONE) {
    return true;
  }
  if (mask == WEIR_MASK_BOOL) {
    return ((const unsigned char *)self->args->mask)[self->mask + j] != 0;
  }
  *out_added = ref_load(types[mask], self->args->mask, self->mask + j);
  return *out_added != -INFINITY;
}

/* The score of slot j; false when the query does not attend it. */
static bool score_at(const sdpa_query *self, int64_t j, double *out_score) {
  const weir_sdpa_desc *desc = self->desc;
  double added;
  if (!mask_at(self, j, &added)) {
    return false;
  }
  double k[HEAD_DIM_MAX];
  ref_load_row(desc->kv_type, self->args->k, slot_of(self->k, self->args->k_stride, j), desc->head_dim, k);
  double dot = 0;
  for (uint32_t d = 0; d < desc->head_dim; d++) {
    dot += self->q[d] * k[d];
  }
  double capped = desc->scale * dot;
  if (desc->softcap != 0) {
    capped = desc->softcap * tanh(capped / desc->softcap);
  }
  *out_score = capped + added;
  return true;
}

static void attend(const weir_sdpa_desc *desc, const weir_sdpa_args *args, uint32_t b, uint32_t h, uint32_t i) {
  sdpa_query query;
  query_start(&query, desc, args, b, h, i);

  double score;
  double max = -INFINITY; /* a NaN is not greater, and shows in the sum */
  for (int64_t j = query.begin; j < query.end; j++) {
    if (score_at(&query, j, &score) && score > max) {
      max = score;
    }
  }

  bool attended = false;
  double weights = 0;
  double sum[HEAD_DIM_MAX] = {0};
  for (int64_t j = query.begin; j < query.end; j++) {
    if (score_at(&query, j, &score)) {
      double weight = exp(score - max);
      double v[HEAD_DIM_MAX];
      ref_load_row(desc->kv_type, args->v, slot_of(query.v, args->v_stride, j), desc->head_dim, v);
      for (uint32_t d = 0; d < desc->head_dim; d++) {
        sum[d] += weight * v[d];
      }
      weights += weight;
      attended = true;
    }
  }

  int64_t o = index_of(args->o_stride, b, h, i);
  for (uint32_t d = 0; d < desc->head_dim; d++) {
    ref_store(desc->o_type, args->o, o + d, attended ? sum[d] / weights : 0);
  }
}

typedef struct sdpa_job {
  const weir_sdpa_desc *desc;
  const weir_sdpa_args *args;
  uint64_t queries, queries_per_task; /* queries counts every (batch, head, query) */
} sdpa_job;

static void sdpa_task(void *arg, uint32_t index) {
  const sdpa_job *job = arg;
  uint64_t begin = index * job->queries_per_task;
  uint64_t end = begin + job->queries_per_task < job->queries ? begin + job->queries_per_task : job->queries;
  for (uint64_t at = begin; at < end; at++) {
    uint32_t i = (uint32_t)(at % job->args->q_len);
    uint32_t h = (uint32_t)(at / job->args->q_len % job->desc->q_heads);
    uint32_t b = (uint32_t)(at / job->args->q_len / job->desc->q_heads);
    attend(job->desc, job->args, b, h, i);
  }
}

static weir_status sdpa(const weir_plugin_plan *plan, const weir_sdpa_args *args, weir_stream stream) {
  const weir_sdpa_desc *desc = &plan->desc.sdpa;
  sdpa_job job = {.desc = desc, .args = args, .queries = (uint64_t)desc->batch * desc->q_heads * args->q_len};
  job.queries_per_task = 1 + job.queries / TASKS_MAX;
  uint64_t tasks = (job.queries + job.queries_per_task - 1) / job.queries_per_task;
  (void)stream;
  plan->host->parallel(plan->host, (uint32_t)tasks, sdpa_task, &job);
  return WEIR_OK;
}

/* ---- Plan --------------------------------------------------------------- */

static void score(void *state, const weir_device_info *device, const weir_sdpa_desc *desc, weir_score *out) {
  (void)state;
  (void)desc;
  ref_score(device, out);
}

static weir_status plan_sdpa(void *state, const weir_device_info *device, const weir_sdpa_desc *desc,
                             weir_plugin_plan **out_plan) {
  (void)device;
  weir_status status = ref_plan_new(state, out_plan);
  if (status == WEIR_OK) {
    (*out_plan)->desc.sdpa = *desc;
  }
  return status;
}

static void info(const weir_plugin_plan *plan, weir_sdpa_info *out) {
  (void)plan;
  out->properties = WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC;
  out->align = 64;
  out->reserved = 0;
  strcpy(out->kernel, "ref f64");
}

const weir_sdpa_vtable ref_sdpa_vtable = {
    .struct_size = sizeof(weir_sdpa_vtable),
    .score = score,
    .plan = plan_sdpa,
    .plan_free = ref_plan_free,
    .info = info,
    .sdpa = sdpa,
};

/* SPDX-License-Identifier: MIT */

/* int4 and int8 matvec.
 *
 * act is [m,k] of f64: the value each x is taken as. With WEIR_ACT_INT8 that is
 * d * q, exact in f64, and with WEIR_ACT_EXACT it is x. The product knows nothing
 * of the difference.
 *
 * packed is three planes, each [n,...] and starting at a multiple of 64 bytes: the
 * codes as they came, the scales [n,groups] in f32, and, unless zero_type is
 * WEIR_NONE, the zeros (or mins) [n,groups] in f32. Both conversions are exact. */

#include <math.h>
#include <string.h>

#include "number.h"
#include "ref.h"

enum {
  ALIGN = 64,
  BLOCK = 32, /* activations that share d */
  RUN = 16,   /* divides every group but k itself, so that the weights of a run share scale and zero */
  TASK_WEIGHTS = 65536
};

static const uint64_t packed_tag = 1;
static const uint64_t act_tags[] = {[WEIR_ACT_INT8] = 1, [WEIR_ACT_EXACT] = 2};

typedef struct planes {
  uint64_t code_bytes, groups;  /* of a row */
  uint64_t scales, zeros, size; /* in bytes: where the scales and the zeros start, and all ends */
} planes;

static uint64_t align_up(uint64_t bytes) {
  return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static planes planes_of(const weir_matvec_desc *desc) {
  planes at;
  at.code_bytes = desc->op == WEIR_OP_INT4_MATVEC ? desc->k / 2 : desc->k;
  at.groups = desc->k / desc->group;
  uint64_t group_plane = desc->n * at.groups * sizeof(float);
  at.scales = align_up(desc->n * at.code_bytes);
  at.zeros = align_up(at.scales + group_plane);
  at.size = desc->zero_type == WEIR_NONE ? at.scales + group_plane : at.zeros + group_plane;
  return at;
}

/* ---- Packing ------------------------------------------------------------ */

static void pack_groups(weir_type type, const void *plane, uint64_t index, uint64_t group_stride, uint64_t groups,
                        void *out_row) {
  for (uint64_t g = 0; g < groups; g++) {
    ref_store(WEIR_F32, out_row, (int64_t)g, ref_load(type, plane, (int64_t)(index + g * group_stride)));
  }
}

static weir_status pack(const weir_plugin_plan *plan, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                        void *out_packed) {
  const weir_matvec_desc *desc = &plan->desc.matvec;
  const planes at = planes_of(desc);
  unsigned char *packed = out_packed;
  uint64_t group_bytes = at.groups * sizeof(float); /* of a row */
  uint64_t row_stride = source->row_stride;
  uint64_t group_stride = source->group_stride;
  if (row_stride == 0 && group_stride == 0) {
    row_stride = at.groups;
    group_stride = 1;
  }

  for (uint64_t n = n0; n < n1; n++) {
    uint64_t row = n - n0;
    memcpy(packed + n * at.code_bytes, (const unsigned char *)source->codes + row * at.code_bytes, at.code_bytes);
    pack_groups(desc->scale_type, source->scales, row * row_stride, group_stride, at.groups,
                packed + at.scales + n * group_bytes);
    if (desc->zero_type != WEIR_NONE) {
      pack_groups(desc->zero_type, source->zeros, row * row_stride, group_stride, at.groups,
                  packed + at.zeros + n * group_bytes);
    }
  }
  if (n1 == desc->n) {
    uint64_t codes_end = desc->n * at.code_bytes;
    uint64_t scales_end = at.scales + desc->n * group_bytes;
    memset(packed + codes_end, 0, at.scales - codes_end);
    if (desc->zero_type != WEIR_NONE) {
      memset(packed + scales_end, 0, at.zeros - scales_end);
    }
  }
  return WEIR_OK;
}

/* ---- Activations -------------------------------------------------------- */

/* The 8-bit recipe, each step in f32, of the `count` values of one block.
 *
 * Two cases need a rule. A block with a NaN or an Inf is taken as NaN throughout,
 * so that it shows in every result of the row, whatever the weights. And where d is
 * so small that 1/d is beyond f32 (an amax below about 3.7e-37) the block is taken
 * as zero, like one whose d comes out as 0; else 0 * r would make a NaN of
 * finite values. */
static void take_8_bit(const double *x, uint32_t count, double *out_taken) {
  float amax = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!isfinite(x[i])) {
      for (uint32_t j = 0; j < count; j++) {
        out_taken[j] = NAN;
      }
      return;
    }
    amax = fmaxf(amax, fabsf((float)x[i]));
  }
  float d = amax / 127.0f;
  float r = d > 0 ? 1.0f / d : 0;
  if (isinf(r)) {
    d = 0;
    r = 0;
  }
  for (uint32_t i = 0; i < count; i++) {
    float scaled = (float)x[i] * r;
    float q = fminf(fmaxf(rintf(scaled), -128.0f), 127.0f);
    out_taken[i] = (double)d * (double)q;
  }
}

static weir_status quantize(const weir_plugin_plan *plan, const weir_quantize_args *args, weir_stream stream) {
  const weir_matvec_desc *desc = &plan->desc.matvec;
  (void)stream;
  for (uint32_t m = 0; m < args->m; m++) {
    double *taken = (double *)args->act + (uint64_t)m * desc->k;
    for (uint64_t k0 = 0; k0 < desc->k; k0 += BLOCK) {
      uint32_t count = desc->k - k0 < BLOCK ? (uint32_t)(desc->k - k0) : BLOCK;
      double x[BLOCK];
      ref_load_row(desc->x_type, args->x, (int64_t)((uint64_t)m * desc->k + k0), count, x);
      if (desc->act == WEIR_ACT_INT8) {
        take_8_bit(x, count, taken + k0);
      } else {
        memcpy(taken + k0, x, count * sizeof x[0]);
      }
    }
  }
  return WEIR_OK;
}

/* ---- Product ------------------------------------------------------------ */

typedef struct matvec_job {
  const weir_plugin_plan *plan;
  const weir_matvec_args *args;
  planes at;
  uint64_t rows_per_task;
} matvec_job;

/* The `count` weights of row n from k0 on; they are of one group. */
static void load_weights(const matvec_job *job, uint64_t n, uint64_t k0, uint32_t count, double *out_weights) {
  const weir_matvec_desc *desc = &job->plan->desc.matvec;
  const unsigned char *packed = job->args->packed;
  const unsigned char *codes = packed + n * job->at.code_bytes;
  uint64_t group = n * job->at.groups + k0 / desc->group;
  double scale = ((const float *)(packed + job->at.scales))[group];
  double zero = desc->op == WEIR_OP_INT4_MATVEC ? 8 : 0;
  if (desc->zero_type != WEIR_NONE) {
    zero = ((const float *)(packed + job->at.zeros))[group];
  }

  double code[RUN];
  if (desc->op == WEIR_OP_INT4_MATVEC) {
    for (uint32_t i = 0; i < count; i += 2) {
      unsigned char pair = codes[(k0 + i) / 2];
      code[i] = pair & 15;
      code[i + 1] = pair >> 4;
    }
  } else {
    for (uint32_t i = 0; i < count; i++) {
      code[i] = ((const int8_t *)codes)[k0 + i];
    }
  }
  if (desc->form == WEIR_FORM_MIN) {
    for (uint32_t i = 0; i < count; i++) {
      out_weights[i] = scale * code[i] + zero;
    }
  } else {
    for (uint32_t i = 0; i < count; i++) {
      out_weights[i] = scale * (code[i] - zero);
    }
  }
}

static double dot(const matvec_job *job, uint64_t n, const double *x) {
  uint32_t k = job->plan->desc.matvec.k;
  double sum = 0;
  for (uint64_t k0 = 0; k0 < k; k0 += RUN) {
    uint32_t count = k - k0 < RUN ? (uint32_t)(k - k0) : RUN;
    double weights[RUN];
    load_weights(job, n, k0, count, weights);
    for (uint32_t i = 0; i < count; i++) {
      sum += weights[i] * x[k0 + i];
    }
  }
  return sum;
}

static void matvec_task(void *arg, uint32_t index) {
  const matvec_job *job = arg;
  const weir_matvec_desc *desc = &job->plan->desc.matvec;
  const weir_matvec_args *args = job->args;
  uint64_t n0 = index * job->rows_per_task;
  uint64_t n1 = n0 + job->rows_per_task < desc->n ? n0 + job->rows_per_task : desc->n;
  for (uint64_t n = n0; n < n1; n++) {
    double bias = desc->bias_type == WEIR_NONE ? 0 : ref_load(desc->bias_type, args->bias, (int64_t)n);
    for (uint64_t m = 0; m < args->m; m++) {
      const double *x = (const double *)args->act + m * desc->k;
      ref_store(desc->y_type, args->y, (int64_t)(m * desc->n + n), dot(job, n, x) + bias);
    }
  }
}

static weir_status matvec(const weir_plugin_plan *plan, const weir_matvec_args *args, weir_stream stream) {
  const weir_matvec_desc *desc = &plan->desc.matvec;
  matvec_job job = {.plan = plan, .args = args, .at = planes_of(desc), .rows_per_task = 1 + TASK_WEIGHTS / desc->k};
  uint64_t tasks = (desc->n + job.rows_per_task - 1) / job.rows_per_task;
  (void)stream;
  plan->host->parallel(plan->host, (uint32_t)tasks, matvec_task, &job);
  return WEIR_OK;
}

/* ---- Plan --------------------------------------------------------------- */

static void score(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out) {
  (void)state;
  (void)desc;
  ref_score(device, out);
}

static weir_status plan_matvec(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                               weir_plugin_plan **out_plan) {
  (void)device;
  weir_status status = ref_plan_new(state, out_plan);
  if (status == WEIR_OK) {
    (*out_plan)->desc.matvec = *desc;
  }
  return status;
}

static void info(const weir_plugin_plan *plan, weir_matvec_info *out) {
  const weir_matvec_desc *desc = &plan->desc.matvec;
  const planes at = planes_of(desc);
  uint64_t group_planes = desc->zero_type == WEIR_NONE ? 1 : 2;
  out->properties = WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC;
  out->packed_size = at.size;
  out->packed_tag = packed_tag;
  out->act_tag = act_tags[desc->act];
  out->act = desc->act;
  out->align = ALIGN;
  out->weight_bytes = desc->n * (at.code_bytes + group_planes * at.groups * sizeof(float));
  strcpy(out->kernel, "ref f64");
}

static uint64_t act_size(const weir_plugin_plan *plan, uint32_t m) {
  return (uint64_t)m * plan->desc.matvec.k * sizeof(double);
}

const weir_matvec_vtable ref_matvec_vtable = {
    .struct_size = sizeof(weir_matvec_vtable),
    .score = score,
    .plan = plan_matvec,
    .plan_free = ref_plan_free,
    .info = info,
    .act_size = act_size,
    .pack = pack,
    .quantize = quantize,
    .matvec = matvec,
};

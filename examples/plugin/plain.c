/* SPDX-License-Identifier: MIT */

/* The smallest honest kernel plugin: int8 matvec with bf16 scales, in plain C and
 * f32. Copy this directory, rename it, and make it fast. Then:
 *   autoreconf -fi && ./configure && make
 *   WEIR_PLUGIN_PATH=$PWD/.libs/plain.so weir verify --plugin plain
 *   WEIR_PLUGIN_PATH=$PWD/.libs/plain.so weir bench --shape 4096,4096 --op int8 --plugin plain --vs cpu
 */
#include <stdlib.h>
#include <string.h>

#include <weir/plugin.h>

struct weir_plugin_plan {
  const weir_host *host;
  weir_matvec_desc desc;
};

/* Each runtime of a process calls init() with a table of its own, so what is kept
 * belongs into the state, not into a global. Here the table itself is the state. */
static weir_status init(const weir_host *host, void **out_state) {
  *out_state = (void *)(uintptr_t)host;
  return WEIR_OK;
}

static float bf16_to_f32(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Round to nearest even; a NaN stays one. */
static uint16_t f32_to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value != value) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void score(void *state, const weir_device_info *device, const weir_matvec_desc *desc, weir_score *out) {
  (void)state;
  if (device->kind != WEIR_DEVICE_CPU)
    weir_score_set(out, 0, "computes in host memory: it serves the device \"cpu\"");
  else if (desc->scale_type != WEIR_BF16 || desc->x_type != WEIR_BF16 || desc->y_type != WEIR_BF16)
    weir_score_set(out, 0, "takes scales, activations and results in bf16 only");
  else if (desc->zero_type != WEIR_NONE || desc->bias_type != WEIR_NONE)
    weir_score_set(out, 0, "takes neither zeros nor a bias");
  else
    weir_score_set(out, 2, "plain C in f32");
}

static weir_status plan(void *state, const weir_device_info *device, const weir_matvec_desc *desc,
                        weir_plugin_plan **out_plan) {
  (void)device;
  const weir_host *host = state;
  *out_plan = malloc(sizeof **out_plan);
  if (!*out_plan) return host->fail(host, WEIR_E_NOMEM, "plain: no memory for a plan");
  (*out_plan)->host = host;
  (*out_plan)->desc = *desc;
  return WEIR_OK;
}

static void plan_free(weir_plugin_plan *plan) { free(plan); }

/* A packed row is its codes followed by its scales. */
static size_t groups(const weir_plugin_plan *plan) { return plan->desc.k / plan->desc.group; }
static size_t scales_at(const weir_plugin_plan *plan) { return ((size_t)plan->desc.k + 1) & ~(size_t)1; }
static size_t row_size(const weir_plugin_plan *plan) { return scales_at(plan) + 2 * groups(plan); }

static void info(const weir_plugin_plan *plan, weir_matvec_info *out) {
  out->properties = WEIR_ROW_INVARIANT | WEIR_DETERMINISTIC;
  out->packed_size = out->weight_bytes = row_size(plan) * plan->desc.n;
  out->packed_tag = 1;
  out->act_tag = 1;
  out->act = WEIR_ACT_EXACT; /* activations are copied, not quantised: better than asked for is fine */
  out->align = 16;
  snprintf(out->kernel, sizeof out->kernel, "plain C");
}

static uint64_t act_size(const weir_plugin_plan *plan, uint32_t m) { return (uint64_t)m * plan->desc.k * 2; }

static weir_status pack(const weir_plugin_plan *plan, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                        void *out_packed) {
  const uint16_t *scales = source->scales;
  for (uint32_t row = n0; row < n1; row++) {
    unsigned char *out = (unsigned char *)out_packed + row * row_size(plan);
    memset(out, 0, scales_at(plan));
    memcpy(out, (const unsigned char *)source->codes + (size_t)(row - n0) * plan->desc.k, plan->desc.k);
    for (size_t g = 0; g < groups(plan); g++)
      memcpy(out + scales_at(plan) + 2 * g, &scales[(row - n0) * source->row_stride + g * source->group_stride], 2);
  }
  return WEIR_OK;
}

static weir_status quantize(const weir_plugin_plan *plan, const weir_quantize_args *args, weir_stream stream) {
  (void)stream;
  memcpy(args->act, args->x, act_size(plan, args->m));
  return WEIR_OK;
}

struct job {
  const weir_plugin_plan *plan;
  const weir_matvec_args *args;
};

static void one_output(void *arg, uint32_t row) {
  const struct job *job = arg;
  const weir_matvec_desc *desc = &job->plan->desc;
  const signed char *codes = (const signed char *)job->args->packed + row * row_size(job->plan);
  const uint16_t *scales = (const uint16_t *)(const void *)(codes + scales_at(job->plan));
  for (uint32_t m = 0; m < job->args->m; m++) {
    const uint16_t *x = (const uint16_t *)job->args->act + (size_t)m * desc->k;
    float sum = 0;
    for (size_t g = 0; g < groups(job->plan); g++) {
      float part = 0;
      for (size_t k = g * desc->group; k < (g + 1) * desc->group; k++) part += codes[k] * bf16_to_f32(x[k]);
      sum += part * bf16_to_f32(scales[g]);
    }
    ((uint16_t *)job->args->y)[(size_t)m * desc->n + row] = f32_to_bf16(sum);
  }
}

static weir_status matvec(const weir_plugin_plan *plan, const weir_matvec_args *args, weir_stream stream) {
  (void)stream;
  struct job job = {plan, args};
  plan->host->parallel(plan->host, plan->desc.n, one_output, &job);
  return WEIR_OK;
}

static const weir_matvec_vtable int8_matvec = {
    .struct_size = sizeof int8_matvec,
    .score = score,
    .plan = plan,
    .plan_free = plan_free,
    .info = info,
    .act_size = act_size,
    .pack = pack,
    .quantize = quantize,
    .matvec = matvec,
};
static const weir_plugin_op ops[] = {{.op = WEIR_OP_INT8_MATVEC, .vtable = &int8_matvec}};

WEIR_PLUGIN(plain) = {
    WEIR_PLUGIN_HEADER(0),
    .op_count = 1,
    .ops = ops,
    .name = "plain",
    .version = "0.1.0",
    .license = "MIT",
    .description = "int8 matvec in plain C, to start from",
    .init = init,
};

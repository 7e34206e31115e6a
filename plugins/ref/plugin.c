/* SPDX-License-Identifier: MIT */

/* ref, the oracle: every contract of weir/plugin.h in plain C and f64. It is
 * written to be seen to be right; other plugins are written to be fast, and are
 * compared with it. */

#include "ref.h"

void ref_score(const weir_device_info *device, weir_score *out) {
  if (device->kind == WEIR_DEVICE_CPU) {
    weir_score_set(out, 1, "plain C in f64: the oracle, right but slow");
  } else {
    weir_score_set(out, 0, "this is %s, and ref computes in host memory: it serves the device \"cpu\"",
                   device->kind == WEIR_DEVICE_CUDA ? "a cuda device" : "a device of an unknown kind");
  }
}

weir_status ref_plan_new(void *state, weir_plugin_plan **out_plan) {
  const weir_host *host = state;
  *out_plan = host->memory_alloc(host, sizeof **out_plan);
  if (!*out_plan) {
    return host->fail(host, WEIR_E_NOMEM, "ref: no memory for a plan of %zu bytes; free some and plan again",
                      sizeof **out_plan);
  }
  (*out_plan)->host = host;
  return WEIR_OK;
}

void ref_plan_free(weir_plugin_plan *plan) {
  if (plan) {
    plan->host->memory_free(plan->host, plan);
  }
}

/* All that is ever needed again is the host, so the host table is the state. */
static weir_status init(const weir_host *host, void **out_state) {
  *out_state = (void *)host;
  return WEIR_OK;
}

static const weir_plugin_op ops[] = {
    {.op = WEIR_OP_INT4_MATVEC, .vtable = &ref_matvec_vtable},
    {.op = WEIR_OP_INT8_MATVEC, .vtable = &ref_matvec_vtable},
    {.op = WEIR_OP_SDPA, .vtable = &ref_sdpa_vtable},
};

WEIR_PLUGIN(ref) = {
    WEIR_PLUGIN_HEADER(WEIR_PLUGIN_UNLOADABLE),
    .op_count = sizeof ops / sizeof ops[0],
    .ops = ops,
    .name = "ref",
    .version = "0.1.0",
    .license = "MIT",
    .description = "plain C in f64 for the CPU: the oracle that other plugins are compared with",
    .init = init,
};

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

static weir_status check_outputs(const weir_device *device, const void *desc, const char *call) {
  if (!device) return weir_fail(WEIR_E_NULL, "%s: device is null; open one with weir_device_open", call);
  if (!desc) return weir_fail(WEIR_E_NULL, "%s: desc is null; pass the address of a descriptor", call);
  return WEIR_OK;
}

/* 64-bit FNV-1a, continued. */
static uint64_t mix(uint64_t hash, const void *data, size_t size) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

/* A plugin's tags need only differ within itself; the host's within a runtime. */
static uint64_t unique_act_tag(const weir_plan *plan, uint64_t tag) {
  if (!tag) return 0;
  const weir_matvec_desc *desc = &plan->matvec.desc;
  uint64_t hash = mix(0xcbf29ce484222325u, plan->entry->name, strlen(plan->entry->name));
  hash = mix(hash, &tag, sizeof tag);
  hash = mix(hash, &desc->k, sizeof desc->k);
  hash = mix(hash, &desc->x_type, sizeof desc->x_type);
  hash = mix(hash, &plan->device->info.kind, sizeof plan->device->info.kind);
  hash = mix(hash, &plan->device->info.ordinal, sizeof plan->device->info.ordinal);
  return hash ? hash : 1;
}

static bool alignment_valid(uint32_t align) { return align >= 1 && align <= 256 && (align & (align - 1)) == 0; }

static weir_status ask_info(weir_plan *plan) {
  uint32_t align;
  if (plan_is_matvec(plan)) {
    weir_matvec_info *info = &plan->matvec.info;
    info->struct_size = sizeof *info;
    plan->matvec.vtable->info(plan->plan, info);
    info->act_tag = unique_act_tag(plan, info->act_tag);
    info->kernel[sizeof info->kernel - 1] = '\0';
    align = info->align;
  } else {
    weir_sdpa_info *info = &plan->sdpa.info;
    info->struct_size = sizeof *info;
    plan->sdpa.vtable->info(plan->plan, info);
    info->kernel[sizeof info->kernel - 1] = '\0';
    align = info->align;
  }
  if (alignment_valid(align)) return WEIR_OK;
  return weir_fail(WEIR_E_INTERNAL, "the plugin %s asks for an alignment of %u, which is no power of two up to 256",
                   plan->entry->name, align);
}

static weir_status call_plugin(weir_plan *plan) {
  void *state = plan->entry->state;
  const weir_device_info *info = &plan->device->info;
  unsigned failures = error_count();
  struct device_scope scope;
  weir_status status = device_enter(plan->device, &scope);
  if (status) return status;
  if (plan_is_matvec(plan))
    status = plan->matvec.vtable->plan(state, info, &plan->matvec.desc, &plan->plan);
  else
    status = plan->sdpa.vtable->plan(state, info, &plan->sdpa.desc, &plan->plan);
  device_leave(plan->device, scope);
  if (status)
    return weir_fail(status, "the plugin %s could not plan %s: %s", plan->entry->name, weir_op_name(plan->op),
                     error_count() == failures ? "it gave no reason" : weir_last_error());
  if (!plan->plan)
    return weir_fail(WEIR_E_INTERNAL, "the plugin %s returned success and no plan for %s", plan->entry->name,
                     weir_op_name(plan->op));
  return ask_info(plan);
}

/* `plan` holds the operation and the checked descriptor; it is taken over. */
static weir_status finish(weir_plan *plan, weir_device *device, const struct question *question, weir_plan **out_plan) {
  device_retain(device);
  plan->device = device;
  uint32_t count;
  weir_status status = WEIR_OK;
  if (device->info.flags & WEIR_DEVICE_SYNTHETIC)
    status = weir_fail(WEIR_E_NODEVICE,
                       "%s is a description, not a device of this machine, so nothing can be planned on it; "
                       "weir_explain answers questions about it",
                       device->info.name);
  if (!status) status = choose(device, question, NULL, 0, &count, &plan->entry);
  if (!status) {
    if (plan_is_matvec(plan))
      plan->matvec.vtable = &plan->entry->matvec[plan->op];
    else
      plan->sdpa.vtable = &plan->entry->sdpa;
    status = call_plugin(plan);
  }
  if (status) {
    weir_plan_free(plan);
    return status;
  }
  *out_plan = plan;
  return WEIR_OK;
}

weir_status weir_plan_matvec(weir_device *device, const weir_matvec_desc *desc, weir_plan **out_plan) {
  if (!out_plan) return weir_fail(WEIR_E_NULL, "weir_plan_matvec: out_plan is null");
  *out_plan = NULL;
  weir_status status = check_outputs(device, desc, "weir_plan_matvec");
  if (status) return status;
  weir_plan *plan = calloc(1, sizeof *plan);
  if (!plan) return weir_fail(WEIR_E_NOMEM, "no memory for a plan");
  status = desc_check_matvec(desc, &plan->matvec.desc);
  if (status) {
    free(plan);
    return status;
  }
  plan->op = plan->matvec.desc.op;
  return finish(plan, device, &(struct question){.op = plan->op, .matvec = &plan->matvec.desc}, out_plan);
}

weir_status weir_plan_sdpa(weir_device *device, const weir_sdpa_desc *desc, weir_plan **out_plan) {
  if (!out_plan) return weir_fail(WEIR_E_NULL, "weir_plan_sdpa: out_plan is null");
  *out_plan = NULL;
  weir_status status = check_outputs(device, desc, "weir_plan_sdpa");
  if (status) return status;
  weir_plan *plan = calloc(1, sizeof *plan);
  if (!plan) return weir_fail(WEIR_E_NOMEM, "no memory for a plan");
  status = desc_check_sdpa(desc, &plan->sdpa.desc);
  if (status) {
    free(plan);
    return status;
  }
  plan->op = WEIR_OP_SDPA;
  return finish(plan, device, &(struct question){.op = plan->op, .sdpa = &plan->sdpa.desc}, out_plan);
}

void weir_plan_free(weir_plan *plan) {
  if (!plan) return;
  struct device_scope scope;
  if (plan->plan && !device_enter_to_free(plan->device, &scope)) {
    if (plan_is_matvec(plan))
      plan->matvec.vtable->plan_free(plan->plan);
    else
      plan->sdpa.vtable->plan_free(plan->plan);
    device_leave(plan->device, scope);
  }
  device_release(plan->device);
  free(plan);
}

const char *weir_plan_plugin(const weir_plan *plan) { return plan ? plan->entry->name : ""; }

static weir_status explain(weir_device *device, const struct question *question, weir_candidate *out_candidates,
                           uint32_t capacity, uint32_t *out_count) {
  struct entry *entry;
  return choose(device, question, out_candidates, capacity, out_count, &entry);
}

static weir_status check_explain(const weir_device *device, const void *desc, weir_candidate *out_candidates,
                                 uint32_t capacity, uint32_t *out_count) {
  if (!out_count) return weir_fail(WEIR_E_NULL, "weir_explain: out_count is null");
  *out_count = 0;
  if (capacity && !out_candidates)
    return weir_fail(WEIR_E_NULL, "weir_explain: out_candidates is null, and capacity is %u", capacity);
  weir_status status = check_outputs(device, desc, "weir_explain");
  for (uint32_t i = 0; i < capacity && !status; i++)
    if (out_candidates[i].struct_size < sizeof(weir_candidate))
      status = weir_fail(WEIR_E_ABI, "out_candidates[%u].struct_size is %u; set each to sizeof(weir_candidate)", i,
                         out_candidates[i].struct_size);
  return status;
}

weir_status weir_explain_matvec(weir_device *device, const weir_matvec_desc *desc, weir_candidate *out_candidates,
                                uint32_t capacity, uint32_t *out_count) {
  weir_matvec_desc known;
  weir_status status = check_explain(device, desc, out_candidates, capacity, out_count);
  if (!status) status = desc_check_matvec(desc, &known);
  if (status) return status;
  return explain(device, &(struct question){.op = known.op, .matvec = &known}, out_candidates, capacity, out_count);
}

weir_status weir_explain_sdpa(weir_device *device, const weir_sdpa_desc *desc, weir_candidate *out_candidates,
                              uint32_t capacity, uint32_t *out_count) {
  weir_sdpa_desc known;
  weir_status status = check_explain(device, desc, out_candidates, capacity, out_count);
  if (!status) status = desc_check_sdpa(desc, &known);
  if (status) return status;
  return explain(device, &(struct question){.op = WEIR_OP_SDPA, .sdpa = &known}, out_candidates, capacity, out_count);
}

weir_status plan_check_kind(const weir_plan *plan, bool matvec, const char *call) {
  if (!plan) return weir_fail(WEIR_E_NULL, "%s: plan is null", call);
  if (plan_is_matvec(plan) != matvec)
    return weir_fail(WEIR_E_INVALID, "%s: the plan is of %s; a plan of %s is needed", call, weir_op_name(plan->op),
                     matvec ? "int4_matvec or int8_matvec" : "sdpa");
  return WEIR_OK;
}

weir_status weir_matvec_get(const weir_plan *plan, weir_matvec_info *out_info) {
  weir_status status = plan_check_kind(plan, true, "weir_matvec_get");
  return status ? status : weir_struct_out(out_info, &plan->matvec.info, sizeof plan->matvec.info, "weir_matvec_info");
}

weir_status weir_sdpa_get(const weir_plan *plan, weir_sdpa_info *out_info) {
  weir_status status = plan_check_kind(plan, false, "weir_sdpa_get");
  return status ? status : weir_struct_out(out_info, &plan->sdpa.info, sizeof plan->sdpa.info, "weir_sdpa_info");
}

uint64_t weir_act_size(const weir_plan *plan, uint32_t m) {
  if (plan_check_kind(plan, true, "weir_act_size")) return 0;
  if (m < 1 || m > plan->matvec.desc.m_max) {
    weir_fail(WEIR_E_SHAPE, "weir_act_size: m is %u, and the plan takes 1 to %u", m, plan->matvec.desc.m_max);
    return 0;
  }
  return plan->matvec.vtable->act_size(plan->plan, m);
}

uint64_t weir_workspace_size(const weir_plan *plan, uint32_t m) {
  if (!plan) {
    weir_fail(WEIR_E_NULL, "weir_workspace_size: plan is null");
    return 0;
  }
  uint32_t most = plan_is_matvec(plan) ? plan->matvec.desc.m_max : plan->sdpa.desc.q_len_max;
  if (m < 1 || m > most) {
    weir_fail(WEIR_E_SHAPE, "weir_workspace_size: m is %u, and the plan takes 1 to %u", m, most);
    return 0;
  }
  return plan_is_matvec(plan) ? plan->matvec.vtable->workspace_size(plan->plan, m)
                              : plan->sdpa.vtable->workspace_size(plan->plan, m);
}

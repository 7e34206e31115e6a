/* SPDX-License-Identifier: MIT */

/* Arguments are checked here, once for all plugins, and handed on. */
#include "config.h"

#include "internal.h"

static weir_status check_pointer(const char *what, const void *pointer, size_t align) {
  if (!pointer) return weir_fail(WEIR_E_NULL, "%s is null", what);
  if ((uintptr_t)pointer % align)
    return weir_fail(WEIR_E_INVALID, "%s is %p; it must be aligned to %zu bytes", what, pointer, align);
  return WEIR_OK;
}

/* A pointer that is given exactly when the descriptor has a type for it. */
static weir_status check_optional(const char *what, const void *pointer, weir_type type) {
  if (type != WEIR_NONE) return check_pointer(what, pointer, weir_type_size(type));
  if (pointer) return weir_fail(WEIR_E_INVALID, "%s is given, but the plan's descriptor has none; pass NULL", what);
  return WEIR_OK;
}

static weir_status check_size(const char *what, const void *pointer, uint64_t given, uint64_t needed, size_t align) {
  if (needed == 0) return WEIR_OK;
  if (given < needed)
    return weir_fail(WEIR_E_WORKSPACE, "%s has %llu bytes, and %llu are needed", what, (unsigned long long)given,
                     (unsigned long long)needed);
  return check_pointer(what, pointer, align);
}

static weir_status check_flags(const char *what, uint32_t flags) {
  if (!flags) return WEIR_OK;
  return weir_fail(WEIR_E_FLAGS, "%s.flags is 0x%x; no flag is defined, pass 0", what, flags);
}

static weir_status check_reserved(const char *what, uint32_t reserved) {
  if (!reserved) return WEIR_OK;
  return weir_fail(WEIR_E_INVALID, "%s.reserved is %u; pass 0", what, reserved);
}

static weir_status check_stream(const weir_plan *plan, weir_stream stream) {
  if (!stream || plan->device->info.kind != WEIR_DEVICE_CPU) return WEIR_OK;
  return weir_fail(WEIR_E_INVALID, "a stream is given, and the plan is on the CPU; pass NULL");
}

static weir_status check_rows(const weir_plan *plan, uint32_t m) {
  if (m >= 1 && m <= plan->matvec.desc.m_max) return WEIR_OK;
  return weir_fail(WEIR_E_SHAPE, "m is %u, and the plan takes 1 to %u (m_max) rows", m, plan->matvec.desc.m_max);
}

/* What weir_quantize, weir_matvec and weir_linear have in common, part by part. */

static weir_status check_x(const weir_plan *plan, const void *x) {
  return check_pointer("x", x, weir_type_size(plan->matvec.desc.x_type));
}

static weir_status check_room_for_act(const weir_plan *plan, uint32_t m, const void *act, uint64_t size) {
  return check_size("act", act, size, plan->matvec.vtable->act_size(plan->plan, m), plan->matvec.info.align);
}

static weir_status check_product(const weir_plan *plan, uint32_t m, const void *packed, const void *bias, const void *y,
                                 const void *workspace, uint64_t workspace_size) {
  weir_status status = check_pointer("packed", packed, plan->matvec.info.align);
  if (!status) status = check_optional("bias", bias, plan->matvec.desc.bias_type);
  if (!status) status = check_pointer("y", y, weir_type_size(plan->matvec.desc.y_type));
  if (!status)
    status = check_size("workspace", workspace, workspace_size, plan->matvec.vtable->workspace_size(plan->plan, m),
                        plan->matvec.info.align);
  return status;
}

weir_status weir_pack(const weir_plan *plan, const weir_matvec_source *source, uint32_t n0, uint32_t n1,
                      void *out_packed, uint64_t packed_size) {
  weir_status status = plan_check_kind(plan, true, "weir_pack");
  if (status) return status;
  weir_matvec_source known;
  status = weir_struct_in(&known, sizeof known, source, sizeof known, "weir_matvec_source");
  if (status) return status;
  const weir_matvec_desc *desc = &plan->matvec.desc;
  status = check_flags("weir_matvec_source", known.flags);
  if (!status) status = check_pointer("weir_matvec_source.codes", known.codes, 1);
  if (!status)
    status = check_pointer("weir_matvec_source.scales", known.scales, weir_type_size(desc->scale_type));
  if (!status) status = check_optional("weir_matvec_source.zeros", known.zeros, desc->zero_type);
  if (!status)
    status = check_size("out_packed", out_packed, packed_size, plan->matvec.info.packed_size, plan->matvec.info.align);
  if (status) return status;
  if (n0 >= n1 || n1 > desc->n)
    return weir_fail(WEIR_E_SHAPE, "rows [%u,%u) are asked for, and the matrix has rows [0,%u)", n0, n1, desc->n);
  if (known.row_stride == 0 && known.group_stride == 0) {
    known.row_stride = desc->k / desc->group;
    known.group_stride = 1;
  }
  struct device_scope scope;
  status = device_enter(plan->device, &scope);
  if (status) return status;
  status = plan->matvec.vtable->pack(plan->plan, &known, n0, n1, out_packed);
  device_leave(plan->device, scope);
  return status;
}

weir_status weir_quantize(const weir_plan *plan, const weir_quantize_args *args, weir_stream stream) {
  weir_status status = plan_check_kind(plan, true, "weir_quantize");
  if (status) return status;
  weir_quantize_args known;
  status = weir_struct_in(&known, sizeof known, args, sizeof known, "weir_quantize_args");
  if (!status) status = check_flags("weir_quantize_args", known.flags);
  if (!status) status = check_reserved("weir_quantize_args", known.reserved);
  if (!status) status = check_rows(plan, known.m);
  if (!status) status = check_x(plan, known.x);
  if (!status) status = check_room_for_act(plan, known.m, known.act, known.act_size);
  if (!status) status = check_stream(plan, stream);
  if (status) return status;
  struct device_scope scope;
  status = device_enter(plan->device, &scope);
  if (status) return status;
  status = plan->matvec.vtable->quantize(plan->plan, &known, stream);
  device_leave(plan->device, scope);
  return status;
}

weir_status weir_matvec(const weir_plan *plan, const weir_matvec_args *args, weir_stream stream) {
  weir_status status = plan_check_kind(plan, true, "weir_matvec");
  if (status) return status;
  weir_matvec_args known;
  status = weir_struct_in(&known, sizeof known, args, sizeof known, "weir_matvec_args");
  if (!status) status = check_flags("weir_matvec_args", known.flags);
  if (!status) status = check_reserved("weir_matvec_args", known.reserved);
  if (!status) status = check_rows(plan, known.m);
  if (!status) status = check_pointer("act", known.act, plan->matvec.info.align);
  if (!status)
    status = check_product(plan, known.m, known.packed, known.bias, known.y, known.workspace, known.workspace_size);
  if (!status) status = check_stream(plan, stream);
  if (status) return status;
  struct device_scope scope;
  status = device_enter(plan->device, &scope);
  if (status) return status;
  status = plan->matvec.vtable->matvec(plan->plan, &known, stream);
  device_leave(plan->device, scope);
  return status;
}

/* For plugins that have no linear() of their own. */
static weir_status quantize_and_multiply(const weir_plan *plan, const weir_linear_args *args, weir_stream stream) {
  const weir_quantize_args quantize = {
      .struct_size = sizeof quantize, .m = args->m, .x = args->x, .act = args->act, .act_size = args->act_size};
  const weir_matvec_args matvec = {.struct_size = sizeof matvec,
                                   .m = args->m,
                                   .packed = args->packed,
                                   .act = args->act,
                                   .bias = args->bias,
                                   .y = args->y,
                                   .workspace = args->workspace,
                                   .workspace_size = args->workspace_size};
  weir_status status = plan->matvec.vtable->quantize(plan->plan, &quantize, stream);
  return status ? status : plan->matvec.vtable->matvec(plan->plan, &matvec, stream);
}

static weir_status check_apart(const weir_plan *plan, const weir_linear_args *args) {
  const weir_matvec_desc *desc = &plan->matvec.desc;
  const uintptr_t x = (uintptr_t)args->x, y = (uintptr_t)args->y;
  const uint64_t x_bytes = (uint64_t)args->m * desc->k * weir_type_size(desc->x_type);
  const uint64_t y_bytes = (uint64_t)args->m * desc->n * weir_type_size(desc->y_type);
  if (x >= y ? x - y >= y_bytes : y - x >= x_bytes) return WEIR_OK;
  return weir_fail(WEIR_E_INVALID, "x (%llu bytes at %p) and y (%llu bytes at %p) overlap; give y other memory, or call "
                   "weir_quantize and then weir_matvec", (unsigned long long)x_bytes, args->x,
                   (unsigned long long)y_bytes, args->y);
}

weir_status weir_linear(const weir_plan *plan, const weir_linear_args *args, weir_stream stream) {
  weir_status status = plan_check_kind(plan, true, "weir_linear");
  if (status) return status;
  weir_linear_args known;
  status = weir_struct_in(&known, sizeof known, args, sizeof known, "weir_linear_args");
  if (!status) status = check_flags("weir_linear_args", known.flags);
  if (!status) status = check_reserved("weir_linear_args", known.reserved);
  if (!status) status = check_rows(plan, known.m);
  if (!status) status = check_x(plan, known.x);
  if (!status) status = check_room_for_act(plan, known.m, known.act, known.act_size);
  if (!status)
    status = check_product(plan, known.m, known.packed, known.bias, known.y, known.workspace, known.workspace_size);
  if (!status) status = check_apart(plan, &known);
  if (!status) status = check_stream(plan, stream);
  if (status) return status;
  struct device_scope scope;
  status = device_enter(plan->device, &scope);
  if (status) return status;
  status = plan->matvec.vtable->linear ? plan->matvec.vtable->linear(plan->plan, &known, stream)
                                       : quantize_and_multiply(plan, &known, stream);
  device_leave(plan->device, scope);
  return status;
}

static weir_status check_kv_len(const weir_sdpa_desc *desc, const weir_sdpa_args *args) {
  if (desc->flags & WEIR_SDPA_KV_LEN) return check_pointer("kv_len_device", args->kv_len_device, sizeof(int32_t));
  if (args->kv_len_device)
    return weir_fail(WEIR_E_INVALID, "kv_len_device is given, but the plan has no WEIR_SDPA_KV_LEN; pass NULL");
  if (args->kv_len > desc->kv_capacity)
    return weir_fail(WEIR_E_SHAPE, "kv_len is %u, and the plan's kv_capacity is %u", args->kv_len, desc->kv_capacity);
  return WEIR_OK;
}

weir_status weir_sdpa(const weir_plan *plan, const weir_sdpa_args *args, weir_stream stream) {
  weir_status status = plan_check_kind(plan, false, "weir_sdpa");
  if (status) return status;
  weir_sdpa_args known;
  status = weir_struct_in(&known, sizeof known, args, sizeof known, "weir_sdpa_args");
  if (status) return status;
  const weir_sdpa_desc *desc = &plan->sdpa.desc;
  status = check_flags("weir_sdpa_args", known.flags);
  if (!status && (known.q_len < 1 || known.q_len > desc->q_len_max))
    status = weir_fail(WEIR_E_SHAPE, "q_len is %u, and the plan takes 1 to %u (q_len_max) queries", known.q_len,
                       desc->q_len_max);
  if (!status) status = check_pointer("q", known.q, weir_type_size(desc->q_type));
  if (!status) status = check_pointer("k", known.k, weir_type_size(desc->kv_type));
  if (!status) status = check_pointer("v", known.v, weir_type_size(desc->kv_type));
  if (!status) status = check_pointer("o", known.o, weir_type_size(desc->o_type));
  if (!status) status = check_optional("mask", known.mask, mask_element_type(desc->mask));
  if (!status) status = check_kv_len(desc, &known);
  if (!status)
    status = check_size("workspace", known.workspace, known.workspace_size,
                        plan->sdpa.vtable->workspace_size(plan->plan, known.q_len), plan->sdpa.info.align);
  if (!status) status = check_stream(plan, stream);
  if (status) return status;
  struct device_scope scope;
  status = device_enter(plan->device, &scope);
  if (status) return status;
  status = plan->sdpa.vtable->sdpa(plan->plan, &known, stream);
  device_leave(plan->device, scope);
  return status;
}

/* SPDX-License-Identifier: MIT */

/* Packing and calling, the way a careful host does it, with every buffer watched. */

#include "conform_matvec.h"

int unit_pack(struct conform *c, struct matvec_unit *unit, const struct matvec_data *data, int unaligned,
              struct buffer *out_host) {
  weir_status status = weir_matvec_get(unit->plan, &unit->info);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "info", "weir_matvec_get", status);
  }
  uint64_t bytes = unit->info.packed_size;
  uint64_t bias_size = number_size(unit->desc.bias_type);
  if (buffer_make(c, out_host, NULL, "packed", bytes, 0)) {
    return -1;
  }
  status = weir_pack(unit->plan, &data->source, 0, unit->desc.n, buffer_at(out_host), bytes);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "pack", "weir_pack", status);
  }
  if (buffer_receive(c, out_host, CONFORM_TAMPER_PACK_GUARD, 0) ||
      buffer_make(c, &unit->packed, unit->device, "packed", bytes, 0) ||
      buffer_fill(c, &unit->packed, buffer_image(out_host)) ||
      buffer_make(c, &unit->bias, unit->device, "bias", unit->desc.n * bias_size, unaligned ? bias_size : 0)) {
    return -1;
  }
  return bias_size ? buffer_fill(c, &unit->bias, data->bias) : 0;
}

int call_make(struct conform *c, const struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
              struct matvec_call *out_call) {
  const weir_matvec_desc *desc = &unit->desc;
  uint64_t x_size = number_size(desc->x_type), y_size = number_size(desc->y_type);
  uint64_t act_size = weir_act_size(unit->plan, m), workspace_size = weir_workspace_size(unit->plan, m);
  memset(out_call, 0, sizeof *out_call);
  out_call->m = m;
  if (act_size == 0) {
    return conform_fail(c, "info", "weir_act_size(%u) is 0: %s", m, weir_last_error());
  }
  if (buffer_make(c, &out_call->x, unit->device, "x", m * x_size * desc->k, unaligned ? x_size : 0) ||
      buffer_fill(c, &out_call->x, x) || buffer_make(c, &out_call->act, unit->device, "act", act_size, 0) ||
      buffer_make(c, &out_call->y, unit->device, "y", m * y_size * desc->n, unaligned ? y_size : 0) ||
      buffer_make(c, &out_call->workspace, unit->device, "workspace", workspace_size, 0)) {
    return -1;
  }
  return buffer_zero(c, &out_call->workspace);
}

static int finish(struct conform *c, const struct matvec_unit *unit, const char *call, weir_status status) {
  if (status != WEIR_OK) {
    return conform_fail_call(c, "run", call, status);
  }
  status = weir_synchronize(unit->device, NULL);
  return status == WEIR_OK ? 0 : conform_fail_call(c, "run", "weir_synchronize", status);
}

int call_quantize(struct conform *c, struct matvec_unit *unit, struct matvec_call *call) {
  weir_quantize_args args = {
      .struct_size = sizeof args,
      .m = call->m,
      .x = buffer_at(&call->x),
      .act = buffer_at(&call->act),
      .act_size = call->act.size,
  };
  if (finish(c, unit, "weir_quantize", weir_quantize(unit->plan, &args, NULL))) {
    return -1;
  }
  return buffer_receive(c, &call->act, CONFORM_TAMPER_ACT_GUARD, 1) ||
                 buffer_unchanged(c, &call->x, CONFORM_TAMPER_INPUT)
             ? -1
             : 0;
}

int call_matvec(struct conform *c, struct matvec_unit *unit, struct matvec_call *call, const struct buffer *act) {
  weir_matvec_args args = {
      .struct_size = sizeof args,
      .m = call->m,
      .packed = buffer_at(&unit->packed),
      .act = buffer_at(act),
      .bias = buffer_at(&unit->bias),
      .y = buffer_at(&call->y),
      .workspace = buffer_at(&call->workspace),
      .workspace_size = call->workspace.size,
  };
  if (buffer_poison(c, &call->y, 0xfb, 0xff) ||
      finish(c, unit, "weir_matvec", weir_matvec(unit->plan, &args, NULL))) {
    return -1;
  }
  return buffer_receive(c, &call->y, CONFORM_TAMPER_OUTPUT_GUARD, 1) ||
                 buffer_receive(c, &call->workspace, CONFORM_TAMPER_WORK_GUARD, 0) ||
                 buffer_unchanged(c, act, CONFORM_TAMPER_NONE) ||
                 buffer_unchanged(c, &unit->packed, CONFORM_TAMPER_NONE) ||
                 buffer_unchanged(c, &unit->bias, CONFORM_TAMPER_NONE)
             ? -1
             : 0;
}

int unit_run(struct conform *c, struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
             struct matvec_call *out_call) {
  return call_make(c, unit, m, x, unaligned, out_call) || call_quantize(c, unit, out_call) ||
                 call_matvec(c, unit, out_call, &out_call->act)
             ? -1
             : 0;
}

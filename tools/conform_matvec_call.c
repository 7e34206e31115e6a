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

/* ---- Enqueueing ---------------------------------------------------------- */

/* Work of a call: its quantize, or its matvec with some act, or both in this order. */
struct work {
  const struct matvec_unit *unit;
  const struct matvec_call *call;
  int quantizes;
  const struct buffer *act; /* null: no matvec */
};

static weir_status enqueue(const void *object, weir_stream stream) {
  const struct work *work = object;
  const struct matvec_call *call = work->call;
  weir_quantize_args quantize = {
      .struct_size = sizeof quantize,
      .m = call->m,
      .x = buffer_at(&call->x),
      .act = buffer_at(&call->act),
      .act_size = call->act.size,
  };
  weir_status status = work->quantizes ? weir_quantize(work->unit->plan, &quantize, stream) : WEIR_OK;
  if (status != WEIR_OK || !work->act) {
    return status;
  }
  weir_matvec_args matvec = {
      .struct_size = sizeof matvec,
      .m = call->m,
      .packed = buffer_at(&work->unit->packed),
      .act = buffer_at(work->act),
      .bias = buffer_at(&work->unit->bias),
      .y = buffer_at(&call->y),
      .workspace = buffer_at(&call->workspace),
      .workspace_size = call->workspace.size,
  };
  return weir_matvec(work->unit->plan, &matvec, stream);
}

static weir_status enqueue_linear(const void *object, weir_stream stream) {
  const struct work *work = object;
  const struct matvec_call *call = work->call;
  weir_linear_args linear = {
      .struct_size = sizeof linear,
      .m = call->m,
      .packed = buffer_at(&work->unit->packed),
      .x = buffer_at(&call->x),
      .bias = buffer_at(&work->unit->bias),
      .y = buffer_at(&call->y),
      .act = buffer_at(&call->act),
      .act_size = call->act.size,
      .workspace = buffer_at(&call->workspace),
      .workspace_size = call->workspace.size,
  };
  return weir_linear(work->unit->plan, &linear, stream);
}

typedef weir_status (*enqueue_fn)(const void *object, weir_stream stream);

static const char *name_of(enqueue_fn what, const struct work *work) {
  if (what == enqueue_linear) {
    return "weir_linear";
  }
  return work->act ? work->quantizes ? "the call" : "weir_matvec" : "weir_quantize";
}

static int run(struct conform *c, enqueue_fn what, const struct work *work) {
  weir_stream stream = conform_stream(c, work->unit->device);
  weir_status status = what(work, stream);
  if (status != WEIR_OK) {
    return conform_fail_call(c, "run", name_of(what, work), status);
  }
  status = weir_synchronize(work->unit->device, stream);
  return status == WEIR_OK ? 0 : conform_fail_call(c, "run", "weir_synchronize", status);
}

/* Reads back what a matvec may write, and looks after what it may not. */
static int collect(struct conform *c, const struct matvec_unit *unit, struct matvec_call *call) {
  return buffer_receive(c, &call->y, CONFORM_TAMPER_OUTPUT_GUARD, 1) ||
                 buffer_receive(c, &call->workspace, CONFORM_TAMPER_WORK_GUARD, 0) ||
                 buffer_unchanged(c, &unit->packed, CONFORM_TAMPER_NONE) ||
                 buffer_unchanged(c, &unit->bias, CONFORM_TAMPER_NONE)
             ? -1
             : 0;
}

static int collect_act(struct conform *c, struct matvec_call *call) {
  return buffer_receive(c, &call->act, CONFORM_TAMPER_ACT_GUARD, 1) ||
                 buffer_unchanged(c, &call->x, CONFORM_TAMPER_INPUT)
             ? -1
             : 0;
}

static int poison_results(struct conform *c, struct matvec_call *call, int act) {
  return buffer_poison(c, &call->y, 0xfb, 0xff) || (act && buffer_poison(c, &call->act, 0x5a, 0x33)) ? -1 : 0;
}

/* ---- From a graph -------------------------------------------------------- */

/* Capturing only records. */
static int check_untouched(struct conform *c, struct matvec_call *call) {
  if (buffer_receive(c, &call->y, CONFORM_TAMPER_NONE, 0)) {
    return -1;
  }
  unsigned char *y = buffer_image(&call->y);
  if (conform_tampered(c, CONFORM_TAMPER_CAPTURE)) {
    y[0] ^= 1;
  }
  for (uint64_t i = 0; i < call->y.size; ++i) {
    if (y[i] != (i & 1 ? 0xff : 0xfb)) {
      return conform_fail(c, "graph", "y: byte %llu of %llu was written while the call was captured",
                          (unsigned long long)i, (unsigned long long)call->y.size);
    }
  }
  return 0;
}

/* All of x is NaN. */
static int check_poisoned(struct conform *c, const struct matvec_unit *unit, const struct matvec_call *call) {
  const weir_matvec_desc *desc = &unit->desc;
  for (uint64_t i = 0; i < (uint64_t)call->m * desc->n; ++i) {
    double got = conform_tampered(c, CONFORM_TAMPER_REPLAY) ? 1 : number_load(desc->y_type, buffer_image(&call->y), i);
    if (isfinite(got)) {
      return conform_fail(c, "graph", "y[%llu,%llu]: got %.9g, want NaN or an infinity: the replay had only NaN in x",
                          (unsigned long long)(i / desc->n), (unsigned long long)(i % desc->n), got);
    }
  }
  return 0;
}

/* Captures with poison for x, replays that, then with what x should be. */
static int run_graph(struct conform *c, struct matvec_unit *unit, struct matvec_call *call) {
  struct work work = {unit, call, 1, &call->act};
  if (buffer_hide(c, &call->x) || conform_capture(c, enqueue, &work, &call->graph) || check_untouched(c, call) ||
      conform_replay(c, call->graph) || buffer_receive(c, &call->act, CONFORM_TAMPER_NONE, 0) ||
      collect(c, unit, call) || check_poisoned(c, unit, call)) {
    return -1;
  }
  return poison_results(c, call, 1) || buffer_send(c, &call->x) || conform_replay(c, call->graph) ||
                 collect_act(c, call) || collect(c, unit, call)
             ? -1
             : 0;
}

/* ---- Calls --------------------------------------------------------------- */

int call_matvec(struct conform *c, struct matvec_unit *unit, struct matvec_call *call, const struct buffer *act) {
  struct work work = {unit, call, 0, act};
  if (poison_results(c, call, 0)) {
    return -1;
  }
  if (conform_wants_graph(c, unit->device)) {
    if (conform_capture(c, enqueue, &work, &call->graph) || check_untouched(c, call) ||
        conform_replay(c, call->graph)) {
      return -1;
    }
  } else if (run(c, enqueue, &work)) {
    return -1;
  }
  return collect(c, unit, call) || buffer_unchanged(c, act, CONFORM_TAMPER_NONE) ? -1 : 0;
}

int call_again(struct conform *c, struct matvec_unit *unit, struct matvec_call *call) {
  struct work work = {unit, call, 1, &call->act};
  if (poison_results(c, call, 1) ||
      (conform_wants_graph(c, unit->device) ? conform_replay(c, call->graph) : run(c, enqueue, &work))) {
    return -1;
  }
  return collect_act(c, call) || collect(c, unit, call) ? -1 : 0;
}

int call_linear(struct conform *c, struct matvec_unit *unit, struct matvec_call *call) {
  struct work work = {unit, call, 1, &call->act};
  if (poison_results(c, call, 1)) {
    return -1;
  }
  if (conform_wants_graph(c, unit->device)) {
    if (conform_capture(c, enqueue_linear, &work, &call->graph) || check_untouched(c, call) ||
        conform_replay(c, call->graph)) {
      return -1;
    }
  } else if (run(c, enqueue_linear, &work)) {
    return -1;
  }
  return collect_act(c, call) || collect(c, unit, call) ? -1 : 0;
}

int unit_run(struct conform *c, struct matvec_unit *unit, uint32_t m, const void *x, int unaligned,
             struct matvec_call *out_call) {
  struct work quantize = {unit, out_call, 1, NULL};
  if (call_make(c, unit, m, x, unaligned, out_call)) {
    return -1;
  }
  if (conform_wants_graph(c, unit->device)) {
    return run_graph(c, unit, out_call);
  }
  return run(c, enqueue, &quantize) || collect_act(c, out_call) || call_matvec(c, unit, out_call, &out_call->act) ? -1 : 0;
}

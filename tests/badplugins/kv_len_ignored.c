/* SPDX-License-Identifier: MIT */

/* cuda-sdpa-split, whose kernels are told a length instead of where it is: that of the
 * whole buffer, or KV_LEN_NOW, the one that is there when the call is enqueued (which
 * only the stand-in driver lets the host read). A graph replays that for ever. */

#undef WEIR_BUILTIN /* which the sources of cuda-sdpa-split are compiled with here */
#include <weir/plugin.h>

#ifdef KV_LEN_NOW
#define NAME "kv-len-captured"
#else
#define NAME "kv-len-ignored"
#endif

extern const weir_plugin weir_builtin_cuda_sdpa_split;

struct state {
  const weir_host *host;
  void *of_split;
};

struct weir_plugin_plan {
  const weir_host *host;
  weir_plugin_plan *of_split;
  uint32_t flags, kv_capacity;
};

static const weir_sdpa_vtable *split(void) { return weir_builtin_cuda_sdpa_split.ops[0].vtable; }

static void score(void *state, const weir_device_info *device, const weir_sdpa_desc *desc, weir_score *out) {
  split()->score(((struct state *)state)->of_split, device, desc, out);
}

static weir_status plan(void *state, const weir_device_info *device, const weir_sdpa_desc *desc,
                        weir_plugin_plan **out_plan) {
  const weir_host *host = ((struct state *)state)->host;
  weir_sdpa_desc told = *desc;
  told.flags &= ~(uint32_t)WEIR_SDPA_KV_LEN;
  weir_plugin_plan *self = host->memory_alloc(host, sizeof *self);
  if (!self) {
    return host->fail(host, WEIR_E_NOMEM, "no memory for a plan");
  }
  *self = (weir_plugin_plan){.host = host, .flags = desc->flags, .kv_capacity = desc->kv_capacity};
  weir_status status = split()->plan(((struct state *)state)->of_split, device, &told, &self->of_split);
  if (status != WEIR_OK) {
    host->memory_free(host, self);
    return status;
  }
  *out_plan = self;
  return WEIR_OK;
}

static void plan_free(weir_plugin_plan *self) {
  split()->plan_free(self->of_split);
  self->host->memory_free(self->host, self);
}

static void info(const weir_plugin_plan *self, weir_sdpa_info *out) { split()->info(self->of_split, out); }

static uint64_t workspace_size(const weir_plugin_plan *self, uint32_t q_len) {
  return split()->workspace_size(self->of_split, q_len);
}

static uint32_t length_of(const weir_plugin_plan *self, const weir_sdpa_args *args) {
  if (!(self->flags & WEIR_SDPA_KV_LEN)) {
    return args->kv_len;
  }
#ifdef KV_LEN_NOW
  int32_t now = args->kv_len_device[0];
  return now < 0 ? 0 : now > (int32_t)self->kv_capacity ? self->kv_capacity : (uint32_t)now;
#else
  return self->kv_capacity;
#endif
}

static weir_status sdpa(const weir_plugin_plan *self, const weir_sdpa_args *args, weir_stream stream) {
  weir_sdpa_args told = *args;
  told.kv_len = length_of(self, args);
  told.kv_len_device = NULL;
  return split()->sdpa(self->of_split, &told, stream);
}

static const weir_sdpa_vtable vtable = {
    .struct_size = sizeof vtable,
    .score = score,
    .plan = plan,
    .plan_free = plan_free,
    .info = info,
    .workspace_size = workspace_size,
    .sdpa = sdpa,
};
static const weir_plugin_op ops[] = {{.op = WEIR_OP_SDPA, .vtable = &vtable}};

static weir_status init(const weir_host *host, void **out_state) {
  struct state *state = host->memory_alloc(host, sizeof *state);
  if (!state) {
    return host->fail(host, WEIR_E_NOMEM, "no memory");
  }
  *state = (struct state){.host = host};
  *out_state = state;
  return weir_builtin_cuda_sdpa_split.init(host, &state->of_split);
}

static void fini(void *state) {
  const weir_host *host = ((struct state *)state)->host;
  host->memory_free(host, state);
}

WEIR_PLUGIN(kv_len) = {
    WEIR_PLUGIN_HEADER(WEIR_PLUGIN_UNLOADABLE),
    .op_count = 1,
    .ops = ops,
    .name = NAME,
    .version = "1.2.3",
    .license = "MIT",
    .description = "a test plugin",
    .init = init,
    .fini = fini,
};

/* SPDX-License-Identifier: MIT */

/* The cpu plugin: the default kernels for host memory. */
#include "cpu.h"

static weir_status cpu_init(const weir_host *host, void **out_state) {
  struct cpu_state *state = host->memory_alloc(host, sizeof *state);
  if (!state) {
    return host->fail(host, WEIR_E_NOMEM, "plugin cpu: no memory for its %zu bytes of state", sizeof *state);
  }
  state->host = host;
  *out_state = state;
  return WEIR_OK;
}

static void cpu_fini(void *state) {
  const weir_host *host = ((struct cpu_state *)state)->host;
  host->memory_free(host, state);
}

static const weir_plugin_op cpu_ops[] = {
  {WEIR_OP_INT4_MATVEC, 0, &cpu_matvec_vtable},
  {WEIR_OP_INT8_MATVEC, 0, &cpu_matvec_vtable},
  {WEIR_OP_SDPA, 0, &cpu_sdpa_vtable},
};

/* A copy built under another name can be raced against this one. */
#ifndef WEIR_PLUGIN_NAME
#define WEIR_PLUGIN_NAME "cpu"
#endif

WEIR_PLUGIN(cpu) = {
  WEIR_PLUGIN_HEADER(WEIR_PLUGIN_UNLOADABLE),
  sizeof cpu_ops / sizeof cpu_ops[0],
  cpu_ops,
  WEIR_PLUGIN_NAME,
  "0.1.0",
  "MIT",
  "int4 and int8 matvec and attention in host memory: AVX2, AVX-VNNI, AVX-512 VNNI, portable C",
  cpu_init,
  cpu_fini,
};

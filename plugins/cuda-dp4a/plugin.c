/* SPDX-License-Identifier: MIT */

/* cuda-dp4a and, with WEIR_DP4A_SCALAR, cuda-dp4a-scalar: int4 and int8 matvec on
 * CUDA devices with the dp4a instruction. */

#include "dp4a.h"

/* All that is ever needed again is the host, so the host table is the state. */
static weir_status init(const weir_host *host, void **out_state) {
  *out_state = (void *)host;
  return WEIR_OK;
}

static const weir_plugin_op ops[] = {
    {.op = WEIR_OP_INT4_MATVEC, .vtable = &dp4a_matvec_vtable},
    {.op = WEIR_OP_INT8_MATVEC, .vtable = &dp4a_matvec_vtable},
};

#ifdef WEIR_DP4A_SCALAR
WEIR_PLUGIN(cuda_dp4a_scalar) = {
#else
WEIR_PLUGIN(cuda_dp4a) = {
#endif
    WEIR_PLUGIN_HEADER(WEIR_PLUGIN_UNLOADABLE),
    .op_count = sizeof ops / sizeof ops[0],
    .ops = ops,
    .version = "0.1.0",
    .license = "MIT",
#ifdef WEIR_DP4A_SCALAR
    .name = "cuda-dp4a-scalar",
    .description = "int4 and int8 matvec with dp4a, activations loaded 4 bytes at a time",
#else
    .name = "cuda-dp4a",
    .description = "int4 and int8 matvec with dp4a, activations loaded 16 bytes at a time",
#endif
    .init = init,
};

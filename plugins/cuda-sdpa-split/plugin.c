/* SPDX-License-Identifier: MIT */

/* cuda-sdpa-split and, with WEIR_SDPA_STANDARD, cuda-sdpa-standard: attention on CUDA
 * devices with tensor cores. */

#include "sdpa.h"

/* All that is ever needed again is the host, so the host table is the state. */
static weir_status init(const weir_host *host, void **out_state) {
  *out_state = (void *)host;
  return WEIR_OK;
}

static const weir_plugin_op ops[] = {
    {.op = WEIR_OP_SDPA, .vtable = &cuda_sdpa_vtable},
};

#ifdef WEIR_SDPA_STANDARD
WEIR_PLUGIN(cuda_sdpa_standard) = {
#else
WEIR_PLUGIN(cuda_sdpa_split) = {
#endif
    WEIR_PLUGIN_HEADER(WEIR_PLUGIN_UNLOADABLE),
    .op_count = sizeof ops / sizeof ops[0],
    .ops = ops,
    .version = "0.1.0",
    .license = "MIT",
#ifdef WEIR_SDPA_STANDARD
    .name = "cuda-sdpa-standard",
    .description = "attention in one pass over K and V for each tile of query rows",
#else
    .name = "cuda-sdpa-split",
    .description = "attention with K and V cut over the whole GPU, for decode",
#endif
    .init = init,
};
